import { parseArgs } from 'node:util'
import pg from 'pg'
import { timings } from '../src/core/timings.ts'
import { startPostgres } from '../src/embedded/index.ts'
import { createPool } from '../src/postgres/pool.ts'
import { collectMetrics } from '../src/runs/metrics-snapshot.ts'
import { type Control, createControl } from '../src/store/control.ts'
import { migrate } from '../src/store/schema/migrate.ts'
import { median } from './support/statistics.ts'

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '20' },
    runs: { type: 'string', default: '10000' },
    events: { type: 'string', default: '10000' },
  },
})
const [jobs, runs, events] = [values.jobs, values.runs, values.events].map(Number) as [number, number, number]
const times = 20
const rangesPerRun = 8

/** What one look at a control schema costs that holds many runs: for one process, and for four that look at once. */
const postgres = await startPostgres({ settings: { shared_buffers: '1GB', max_wal_size: '8GB' } })
try {
  const pool = createPool(postgres.url, { name: 'evenkeel bench', max: 4, settings: {} })
  const control = createControl(pool, 'evenkeel')
  await migrate(control)
  await fill(postgres.url)
  await collectMetrics(control, timings)
  console.log(`${jobs} jobs of ${runs} runs each, one of each live with ${events} events`)
  console.log(
    `one snapshot: ${(await measure(control, 1)).toFixed(0)} ms; four at once: ${(await measure(control, 4)).toFixed(0)} ms`,
  )
  for (const [statement, ms] of await costs(pool)) console.log(`${ms.toFixed(1).padStart(8)} ms  ${statement}`)
  await pool.end()
} finally {
  await postgres.stop()
}

/** The median, of so many at once. Milliseconds. */
async function measure(control: Control, atOnce: number): Promise<number> {
  const taken: number[] = []
  for (let time = 0; time < times; time += 1) {
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        const began = performance.now()
        await collectMetrics(control, timings)
        taken.push(performance.now() - began)
      }),
    )
  }
  return median(taken)
}

/** Each statement of a snapshot by the time that it takes, the longest first. */
async function costs(pool: pg.Pool): Promise<Array<[string, number]>> {
  const spent = new Map<string, number>()
  const timed = {
    async query(text: string, parameters?: unknown[]) {
      const began = performance.now()
      const result = await pool.query(text, parameters)
      spent.set(text, (spent.get(text) ?? 0) + performance.now() - began)
      return result
    },
  } as unknown as Control['db']
  for (let time = 0; time < times; time += 1)
    await collectMetrics({ ...createControl(pool, 'evenkeel'), db: timed }, timings)
  return [...spent]
    .map(([text, ms]): [string, number] => [text.replaceAll(/\s+/g, ' ').slice(0, 100), ms / times])
    .sort(([, a], [, b]) => b - a)
}

/** Runs that have ended over half a year, one live run of each job, with what such runs leave behind. */
async function fill(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, options: '-c search_path=evenkeel' })
  await client.connect()
  await client.query(
    `INSERT INTO runs (id, job, params, params_hash, fingerprint, target, has_predicate, options, status, request_hash, created_by,
       created_at, started_at, ended_at)
     SELECT 'job-' || j || '-' || n, 'job-' || j, '{}', (n % 50)::text, '', '{"estimatedRows": 1000000}', true,
       '{"maxRowsPerSecond": null, "maxQuarantined": 100, "parallelism": 2}',
       CASE WHEN n = $2 THEN 'running' WHEN n % 100 = 7 THEN 'failed' ELSE 'succeeded' END, '', 'bench', at, at, CASE WHEN n < $2 THEN at + interval '1 minute' END
     FROM generate_series(1, $1::int) AS j, generate_series(1, $2::int) AS n,
       LATERAL (SELECT clock_timestamp() - interval '180 days' * (1 - n::float8 / $2) AS at) AS times`,
    [jobs, runs],
  )
  await client.query(
    `INSERT INTO ranges (run_id, ordinal, phase, done, lease_until, checkpointed_at)
     SELECT id, n, 'keys', status <> 'running', CASE WHEN status = 'running' AND n < 2 THEN clock_timestamp() + interval '1 hour' END, clock_timestamp()
     FROM runs, generate_series(0, $1::int - 1) AS n`,
    [rangesPerRun],
  )
  await client.query(
    `INSERT INTO events (run_id, actor, kind) SELECT id, 'bench', CASE n % 3 WHEN 0 THEN 'held' WHEN 1 THEN 'released' ELSE 'rescued' END
     FROM runs, generate_series(1, $1::int) AS n WHERE status = 'running'`,
    [events],
  )
  await client.query('VACUUM ANALYZE')
  await client.end()
}
