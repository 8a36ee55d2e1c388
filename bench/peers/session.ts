import pg from 'pg'
import type { Backfill } from './peer.ts'

/** A backfill that is one statement in one session. `rowsDone` is asked once its `result` is there, and before. */
export async function runInSession(
  databaseUrl: string,
  name: string,
  statement: string,
  rowsDone: (client: pg.Client, ended: Promise<pg.QueryResult>) => () => number,
): Promise<Backfill> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: name })
  let stopped = false
  client.on('error', () => {})
  await client.connect()
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const ended = client.query(statement)
  const counted = rowsDone(client, ended)
  const done = ended.then(
    () => {},
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
  return { rowsDone: async () => counted(), done, stop }
}

/** From another session: the one that runs the statement listens to nobody until it ends. */
async function terminate(databaseUrl: string, pid: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'bench' })
  await client.connect()
  await client.query('SELECT pg_terminate_backend($1, 10000)', [pid])
  await client.end()
}
