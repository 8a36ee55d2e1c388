import { fileURLToPath } from 'node:url'
import type { Pool } from 'pg'
import { formatBytes } from '../../core/format.ts'
import type { DryRunReport, RunView } from './client.ts'
import type { Environment, RunningService } from './environment.ts'
import { count, seconds } from './messages.ts'
import { allThePackageNames, type FetchOptions, fetchPackage, type NpmPackage } from './package.ts'
import { type LoadedPackages, loadPackages, packageCounts } from './packages.ts'
import { proveCounts } from './proof.ts'
import { Watch } from './watch.ts'

const job = 'packages-split'
const options = { parallelism: 4 }
/** Names whose split is shown, if they exist. */
const wellKnown = ['@babel/core', '@types/node', 'express']

/** Source of the names. */
export type Source = Pick<FetchOptions, 'registry' | 'folder'> & { readonly package: NpmPackage }

/** The registry as npm is configured: npm tells it to the processes that it runs. */
export const usualSource: Source = {
  package: allThePackageNames,
  registry: process.env.npm_config_registry ?? 'https://registry.npmjs.org/',
  folder: fileURLToPath(new URL('../../../.cache', import.meta.url)),
}

/**
 * The demo on every name of npm, without interruptions. Returns what is wrong at its end; nothing if the proof holds.
 */
export async function runLarge(environment: Environment, source: Source): Promise<string[]> {
  // First, because without it there is nothing to show.
  const archive = await fetchNames(environment, source)
  const postgres = await environment.startPostgres()
  const pool = environment.connect(postgres.url)
  const loaded = await load(environment, pool, archive)
  const service = await environment.startService(postgres, pool, 'none')
  const before = await sizes(pool)
  const forecast = await rehearse(environment, service)
  const run = await runAll(environment, service)
  const wrong = await conclude(environment, pool, run, loaded)
  summarize(environment, run, forecast, before, await sizes(pool))
  return wrong
}

async function fetchNames({ screen, signal }: Environment, source: Source): Promise<string> {
  const { name, version } = source.package
  const fetched = await fetchPackage(source.package, {
    ...source,
    signal,
    onProgress: (now, total) =>
      screen.part(
        `${name} from ${new URL(source.registry).host}`,
        total > 0 ? now / total : 0,
        `${formatBytes(now)}${total > 0 ? ` of ${formatBytes(total)}` : ''}`,
      ),
  })
  screen.clear()
  screen.fact(`${name} ${version} is in ${fetched.file}${fetched.fetched ? '' : ', from last time'}`)
  return fetched.file
}

async function load(environment: Environment, pool: Pool, archive: string): Promise<LoadedPackages> {
  const { screen } = environment
  let loaded: LoadedPackages = { packages: 0, scoped: 0 }
  await environment.timed('every name on npm is loaded', async () => {
    loaded = await loadPackages(pool, archive, (ratio, packages) => {
      environment.signal.throwIfAborted()
      screen.part('COPY packages', ratio, `${count(packages)} rows`)
    })
    screen.clear()
    return `${count(loaded.packages)} rows in packages, ${count(loaded.scoped)} of them with a scope`
  })
  return loaded
}

async function rehearse({ screen }: Environment, { client }: RunningService): Promise<DryRunReport['space']> {
  screen.step(1, 'Dry run', 'A few batches are executed and rolled back, to see what the run will take.')
  screen.typed(`POST /runs ${JSON.stringify({ job, dryRun: true })}`)
  const { estimate, rowsPerSecond, space } = await client.dryRun({ job })
  screen.fact(
    `${count(rowsPerSecond)} rows/s with one worker: ${seconds(estimate.seconds ?? 0)}, and ${formatBytes(estimate.walBytes ?? 0)} of WAL`,
  )
  if (space) for (const line of [space.summary, ...space.findings]) screen.fact(line)
  return space
}

async function runAll({ screen, signal }: Environment, { client, processes }: RunningService): Promise<RunView> {
  screen.step(2, 'Run', 'In one go, with four workers.')
  screen.typed(`POST /runs ${JSON.stringify({ job, options })}`)
  const { id } = await client.start({ job, options })
  const run = await new Watch(client, screen, processes.failure, signal, id).until(
    'the end',
    ({ status }) => status === 'succeeded',
  )
  screen.clear()
  screen.fact(`${run.id} reads ${run.status}: ${count(run.proof?.rowsChecked ?? 0)} rows were checked at the end`)
  return run
}

async function conclude({ screen }: Environment, pool: Pool, run: RunView, loaded: LoadedPackages): Promise<string[]> {
  screen.step(3, 'Proof', 'Counted in the database, by a trigger that the job does not know about.')
  const { rows } = await pool.query<{ name: string; scope: string | null; bare: string }>(
    'SELECT name, scope, bare_name AS bare FROM packages WHERE name = ANY($1) ORDER BY name',
    [wellKnown],
  )
  for (const { name, scope, bare } of rows) screen.fact(`${name} -> scope ${scope ?? 'NULL'}, bare name ${bare}`)
  const wrong = await proveCounts(pool, screen, run, packageCounts(loaded, run.proof?.rowsDone ?? -1))
  await pool.query('SELECT evenkeel.require_succeeded($1)', [job])
  screen.fact(`SELECT evenkeel.require_succeeded('${job}') lets the next migration pass`)
  return wrong
}

interface Sizes {
  readonly table: number
  readonly indexes: number
}

async function sizes(pool: Pool): Promise<Sizes> {
  const { rows } = await pool.query<Sizes>(
    "SELECT pg_relation_size('packages')::float8 AS table, pg_indexes_size('packages')::float8 AS indexes",
  )
  return rows[0] as Sizes
}

function summarize(
  { screen }: Environment,
  run: RunView,
  forecast: DryRunReport['space'],
  before: Sizes,
  after: Sizes,
): void {
  const took = (Date.parse(run.endedAt ?? '') - Date.parse(run.startedAt ?? '')) / 1000
  const rows = run.proof?.rowsDone ?? 0
  screen.step(
    4,
    'Summary',
    `${count(rows)} rows in ${seconds(took)}: ${count(rows / took)} rows/s, the check included.`,
  )
  const grown = `the table has grown by ${formatBytes(after.table - before.table)}, its index by ${formatBytes(after.indexes - before.indexes)}`
  screen.fact(grown)
  if (!forecast) return
  const { withoutVacuum, withVacuum } = forecast
  const kept = withVacuum ? `, and ${growth(withVacuum)} with vacuum keeping up` : ''
  screen.fact(`forecast: ${growth(withoutVacuum)} without vacuum${kept}`)
}

function growth({ tableBytes, indexBytes }: { tableBytes: number; indexBytes: number }): string {
  return `${formatBytes(tableBytes)} and ${formatBytes(indexBytes)}`
}
