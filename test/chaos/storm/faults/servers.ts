import { constantFrom, integer, nat, record } from 'fast-check'
import { gone } from '../../../../src/embedded/os-process.mjs'
import { type Fault, fault, last } from '../fault.ts'
import type { World } from '../world.ts'

const absence = integer({ min: 0, max: 1000 })
const ours = constantFrom('evenkeel engine', 'evenkeel engine', 'evenkeel control', 'evenkeel queue')

/** The n-th session of the service's with this name, one at work rather than one that is idle. */
async function sessionOf(world: World, application: string, nth: number): Promise<number> {
  const rows = await world.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY state = 'active' DESC, pid`,
    [application],
  )
  const atWork = rows[nth % rows.length]
  if (!atWork) throw new Error(`no session of ${application}`)
  return atWork.pid
}

/** Stops processes of Postgres', and lets them go on. Those that are gone by then were ended by somebody. */
async function freeze(pids: readonly number[], ms: number, calm: AbortSignal): Promise<void> {
  const all = (signal: NodeJS.Signals) => {
    for (const pid of pids) {
      try {
        process.kill(pid, signal)
      } catch (error) {
        if ((error as { code?: string }).code !== 'ESRCH') throw error
      }
    }
  }
  all('SIGSTOP')
  await last(ms, calm)
  all('SIGCONT')
}

/** What befalls Postgres. */
export const postgresFaults: Readonly<Record<string, Fault>> = {
  'Postgres down at once': fault(
    2,
    record({ how: constantFrom('immediate', 'killed'), ms: absence }),
    () => 'postgres',
    async ({ parts: { postgres } }, { how, ms }, calm) => {
      const { pid } = postgres
      if (how === 'killed' || pid === null) await postgres.kill()
      else {
        process.kill(pid, 'SIGQUIT')
        await gone(pid, null, 10_000)
      }
      await last(ms, calm)
      await postgres.restart()
    },
  ),
  'Postgres restarted': fault(
    1,
    record({}),
    () => 'postgres',
    ({ parts: { postgres } }) => postgres.restart(),
  ),
  'Postgres stopped': fault(
    1,
    record({ ms: integer({ min: 50, max: 2000 }) }),
    () => 'postgres',
    async (world, { ms }, calm) => {
      const { pid } = world.parts.postgres
      const backends = await world.query<{ pid: number }>('SELECT pid FROM pg_stat_activity')
      await freeze([...(pid === null ? [] : [pid]), ...backends.map((backend) => backend.pid)], ms, calm)
    },
  ),
  'backend stopped': fault(
    4,
    record({ application: ours, nth: nat(9), ms: integer({ min: 20, max: 900 }) }),
    () => 'postgres',
    async (world, { application, nth, ms }, calm) => freeze([await sessionOf(world, application, nth)], ms, calm),
  ),
  'backend terminated': fault(
    3,
    record({ application: ours, nth: nat(9) }),
    () => null,
    async (world, { application, nth }) => {
      await world.query('SELECT pg_terminate_backend($1)', [await sessionOf(world, application, nth)])
    },
  ),
  'statement cancelled': fault(
    2,
    record({ application: ours, nth: nat(9) }),
    () => null,
    async (world, { application, nth }) => {
      await world.query('SELECT pg_cancel_backend($1)', [await sessionOf(world, application, nth)])
    },
  ),
}

/** What befalls the queue, wherever it is. */
export const queueFaults: Readonly<Record<string, Fault>> = {
  'queue flushed': fault(
    3,
    record({}),
    () => 'redis',
    async (world) => {
      if (world.parts.redis) return world.parts.redis.flush()
      const tables = await world.query<{ name: string }>(
        `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
         WHERE schemaname = 'evenkeel_queue' AND tablename NOT LIKE '%migration%'`,
      )
      await world.query(`TRUNCATE ${tables.map(({ name }) => name).join(', ')} CASCADE`)
    },
  ),
}

/** What befalls Redis. */
export const redisFaults: Readonly<Record<string, Fault>> = {
  'Redis killed': fault(
    3,
    record({ ms: absence }),
    () => 'redis',
    async ({ parts: { redis } }, { ms }, calm) => {
      await redis?.kill()
      await last(ms, calm)
      await redis?.restart()
    },
  ),
}
