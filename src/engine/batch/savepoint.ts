import type { ClientBase } from 'pg'

/** Runs `work` inside a transaction and rolls it back. Only its return value is left. */
export async function rolledBack<T>(client: ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query('SAVEPOINT _ek_undone')
  try {
    return await work()
  } finally {
    await client.query('ROLLBACK TO SAVEPOINT _ek_undone')
    await client.query('RELEASE SAVEPOINT _ek_undone')
  }
}

/** Runs `work` inside a transaction. If it fails, only `work` is rolled back, and the transaction goes on. */
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
