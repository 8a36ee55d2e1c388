import type { ClientBase } from 'pg'

/** Does something inside a transaction and takes it back, so that only what it returns is left. */
export async function rolledBack<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('SAVEPOINT _ek_undone')
  try {
    return await work()
  } finally {
    await client.query('ROLLBACK TO SAVEPOINT _ek_undone')
    await client.query('RELEASE SAVEPOINT _ek_undone')
  }
}

/** Does something inside a transaction; where it fails, only that is taken back, and the transaction goes on. */
export async function rolledBackIfFailed<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('SAVEPOINT _ek_kept')
  try {
    const result = await work()
    await client.query('RELEASE SAVEPOINT _ek_kept')
    return result
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT _ek_kept')
    await client.query('RELEASE SAVEPOINT _ek_kept')
    throw error
  }
}
