import type { ClientBase } from 'pg'
import { Problem } from '../core/errors.ts'
import { quoteTableName } from '../core/identifier.ts'
import type { Target } from '../core/key.ts'

/** Throws a Problem where the table of a run is not the one that it was accepted for: its ranges are another's. */
export async function checkIdentity(client: ClientBase, target: Target): Promise<void> {
  const name = quoteTableName(target)
  const { rows } = await client.query<{ same: boolean | null }>(
    'SELECT pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.text OPERATOR(pg_catalog.=) $2 AS same',
    [name, target.oid],
  )
  if (rows[0]?.same) return
  throw new Problem(
    'conflict',
    `${name} is not the table that this run was accepted for: that one was dropped or renamed. What was done so far stays done. Cancel this run and start a new one.`,
  )
}
