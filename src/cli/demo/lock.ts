import pg from 'pg'

/** Another session that keeps rows locked: a long transaction of an application. */
export interface HeldLocks {
  readonly rows: number
  readonly backend: number
  release(): Promise<void>
}

export const lockSql =
  'SELECT id FROM cities WHERE search_name IS NULL ORDER BY random() LIMIT $1 FOR UPDATE SKIP LOCKED'

/** Locks rows that the run has not reached yet, wherever they are, and keeps the transaction open. */
export async function lockRowsAhead(url: string, rows: number): Promise<HeldLocks> {
  const client = new pg.Client({ connectionString: url, application_name: 'somebody else' })
  // If the demo is interrupted, Postgres may end first.
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query('BEGIN')
    const { rowCount } = await client.query(lockSql, [rows])
    const { rows: pids } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    return {
      rows: rowCount ?? 0,
      backend: pids[0]?.pid ?? 0,
      async release() {
        await client.query('ROLLBACK')
        await client.end()
      },
    }
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
}
