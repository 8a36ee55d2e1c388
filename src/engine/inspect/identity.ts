import type { ClientBase } from 'pg'
import { z } from 'zod'
import { IndexLost, Problem } from '../../core/errors.ts'
import { type KeyShape, keepsOrder, type Target } from '../../core/range/key.ts'
import { quoteTableName } from '../../core/sql/identifier.ts'
import { statement } from '../../postgres/statement.ts'
import { listIndexes, orders } from './indexes.ts'
import { readKey } from './key.ts'
import { readOrder, shapeOf } from './order.ts'

const checkIdentitySql = statement(
  'checkIdentity',
  { same: z.boolean().nullable(), children: z.boolean() },
  `SELECT pg_catalog.to_regclass($1)::pg_catalog.oid OPERATOR(pg_catalog.=) $2::pg_catalog.oid AS same,
       EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent OPERATOR(pg_catalog.=) $2::pg_catalog.oid) AS children`,
)

/**
 * Inspects the table of a run again, and returns it with the present types of its key. Throws a Problem if it is not
 * what the run was accepted for: another table, or one whose key has another order, so that cursors and bounds are
 * meaningless. Throws IndexLost if no index gives the rows in that order.
 */
export async function checkIdentity(client: ClientBase, s: string, target: Target): Promise<Target> {
  const name = quoteTableName(target)
  const { same, children } = await checkIdentitySql.one({ db: client }, [name, target.oid])
  if (!same) throw changed(`${name} is not the table that this run was accepted for: that one was dropped or renamed.`)
  if (!target.partitioned && children) {
    throw changed(`${name} has an inheritance child since this run was accepted: their keys are not unique together.`)
  }
  const names = target.key.map((column) => column.name)
  const now = await readOrder(client, target.oid, names)
  for (const [index, before] of target.key.entries()) {
    const column = now.find((candidate) => candidate.name === before.name)
    if (column && keepsOrder(target.shape[index] as KeyShape, column)) continue
    throw changed(
      column
        ? `Key column ${before.name} of ${name} is not what it was when this run was accepted: its type, length, collation or collation version has changed, or another column has its name. The rows may be in another order.`
        : `Key column ${before.name} of ${name} is gone since this run was accepted.`,
    )
  }
  if ((await listIndexes(client, target.oid)).some((index) => orders(index, names)))
    return { ...target, key: await readKey(client, s, target.oid, names), shape: now.map(shapeOf) }
  const columns = `(${names.join(', ')})`
  throw new IndexLost(
    'conflict',
    `No valid, plain, unique index is on exactly ${columns} of ${name} any more, and without it each batch would read and sort the whole table. CREATE UNIQUE INDEX CONCURRENTLY ON ${name} ${columns}, and the run goes on`,
  )
}

function changed(what: string): Problem {
  return new Problem('conflict', `${what} What was done so far stays done. Cancel this run and start a new one.`)
}
