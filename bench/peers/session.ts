import pg from 'pg'
import type { Backfill } from './peer.ts'

/**
 * A backfill that is one statement in one session. How many rows are committed it says itself: by a notice with their
 * number, as often as it likes, or at its end, by how many it has changed.
 */
export async function runInSession(databaseUrl: string, name: string, statement: string): Promise<Backfill> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: name })
  let rowsDone = 0
  let stopped = false
  client.on('error', () => {})
  client.on('notice', ({ message }) => {
    rowsDone = Number(message)
  })
  await client.connect()
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const done = client.query(statement).then(
    ({ rowCount }) => {
      rowsDone = rowCount ?? rowsDone
    },
    (error) => {
      if (!stopped) throw error
    },
  )
  done.catch(() => {})
  const stop = async () => {
    if (stopped) return
    stopped = true
    await terminate(databaseUrl, rows[0]?.pid as number)
    await client.end().catch(() => {})
  }
  return { rowsDone: async () => rowsDone, done, stop }
}

/** From another session: the one that runs the statement listens to nobody until it ends. */
async function terminate(databaseUrl: string, pid: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'bench' })
  await client.connect()
  await client.query('SELECT pg_terminate_backend($1, 10000)', [pid])
  await client.end()
}
