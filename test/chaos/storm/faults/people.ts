import { boolean, constantFrom, integer, nat, option, record } from 'fast-check'
import pg from 'pg'
import { type Fault, fault, last } from '../fault.ts'
import type { StormRun, World } from '../world.ts'

const run = nat(5)
const ms = integer({ min: 20, max: 1500 })
const runOf = ({ runs }: World, index: number) => runs[index % runs.length] as StormRun

/** A transaction of somebody else's: does something, stays open for a while, and commits or gives up. */
async function transaction(world: World, statement: string, commits: boolean, ms: number, calm: AbortSignal) {
  const client = new pg.Client({ connectionString: world.parts.postgres.url, application_name: 'somebody' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    await client.query("SET lock_timeout = '2s'")
    await client.query('BEGIN')
    await client.query(statement)
    await last(ms, calm)
    await client.query(commits ? 'COMMIT' : 'ROLLBACK')
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** About so many of a hundred rows, others each time the salt is another. */
const someRows = ({ percent, salt, key }: { percent: number; salt: number; key: string }) =>
  `abs(hashtext((${key})::text || ${salt})) % 100 < ${percent}`

const rows = record({ run, percent: integer({ min: 1, max: 60 }), salt: nat(1000), ms, commits: boolean() })
const keyOf = ({ job: { table } }: StormRun) => table.key.map(([column]) => column).join(" || '|' || ")

/** What others do in the tables that a run works on, and in the run's own. */
export const lockFaults: Readonly<Record<string, Fault>> = {
  'rows locked': fault(
    4,
    record({ rows, strength: constantFrom('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE') }),
    () => null,
    (world, { rows, strength }, calm) => {
      const chosen = runOf(world, rows.run)
      const where = someRows({ ...rows, key: keyOf(chosen) })
      const statement = `SELECT FROM ${chosen.job.table.name} WHERE ${where} FOR ${strength} SKIP LOCKED`
      return transaction(world, statement, rows.commits, rows.ms, calm)
    },
  ),
  'rows edited': fault(
    4,
    rows,
    () => null,
    (world, drawn, calm) => {
      const chosen = runOf(world, drawn.run)
      const { name, key } = chosen.job.table
      const columns = key.map(([column]) => column).join(', ')
      // Whoever waits for rows here could deadlock with a batch, which is right, and would only be one edit less.
      const free = `SELECT ${columns} FROM ${name} WHERE ${someRows({ ...drawn, key: keyOf(chosen) })} FOR NO KEY UPDATE SKIP LOCKED`
      return transaction(
        world,
        `UPDATE ${name} SET edits = edits + 1 WHERE (${columns}) IN (${free})`,
        drawn.commits,
        drawn.ms,
        calm,
      )
    },
  ),
  'table locked': fault(
    1,
    record({ run, ms: integer({ min: 20, max: 700 }), mode: constantFrom('SHARE', 'ACCESS EXCLUSIVE') }),
    () => null,
    (world, drawn, calm) =>
      transaction(
        world,
        `LOCK TABLE ${runOf(world, drawn.run).job.table.name} IN ${drawn.mode} MODE`,
        false,
        drawn.ms,
        calm,
      ),
  ),
  'control rows locked': fault(
    1,
    record({ run, ms, table: constantFrom('runs', 'ranges') }),
    () => null,
    (world, drawn, calm) =>
      transaction(
        world,
        `SELECT FROM evenkeel.${drawn.table} WHERE ${drawn.table === 'runs' ? 'id' : 'run_id'} = '${runOf(world, drawn.run).id}' FOR UPDATE`,
        false,
        drawn.ms,
        calm,
      ),
  ),
}

const options = record(
  {
    batchSize: integer({ min: 1, max: 80 }),
    parallelism: integer({ min: 1, max: 8 }),
    maxRowsPerSecond: option(integer({ min: 50, max: 5000 })),
    synchronousCommit: constantFrom('off', 'on'),
  },
  { requiredKeys: [] },
)

/** What operators do. */
export const operatorFaults: Readonly<Record<string, Fault>> = {
  paused: fault(
    4,
    record({ run, ms }),
    () => null,
    async (world, drawn, calm) => {
      const { id } = runOf(world, drawn.run)
      await world.call('POST', `/runs/${id}/pause`, { reason: 'storm' })
      await last(drawn.ms, calm)
      await world.call('POST', `/runs/${id}/resume`)
    },
  ),
  'everything paused': fault(
    1,
    record({ ms }),
    () => null,
    async (world, drawn, calm) => {
      await world.call('POST', '/pause', { reason: 'storm' })
      await last(drawn.ms, calm)
      await world.call('POST', '/resume')
    },
  ),
  'options changed': fault(
    4,
    record({ run, options }),
    () => null,
    async (world, drawn) => {
      await world.call('PATCH', `/runs/${runOf(world, drawn.run).id}`, drawn.options)
    },
  ),
  'schedule closed': fault(
    2,
    record({ run, ms }),
    () => null,
    async (world, drawn, calm) => {
      const path = `/runs/${runOf(world, drawn.run).id}`
      await world.call('PATCH', path, { schedule: { cron: '* * 29 2 *', timeZone: 'UTC' } })
      await last(drawn.ms, calm)
      await world.call('PATCH', path, { schedule: null })
    },
  ),
}
