import type { ClientBase } from 'pg'
import { stragglerBackoff } from '../../core/backoff.ts'
import type { Cursor } from '../../core/range/key.ts'
import {
  batchParameters,
  type CheckpointValues,
  checkpointSql,
  fencePassed,
  fenceSql,
  firstJobParameter,
} from './checkpoint.ts'
import { atMost, eq, more, plus, times } from './operators.ts'
import type { TableSql } from './table.ts'
import { type Bounds, windowSql } from './window.ts'

const p = batchParameters
/** The values after those of every batch: the row's key, null for the next row, and how many failures this try adds. */
const row = { key: `$${firstJobParameter}::pg_catalog.text[]`, failures: `$${firstJobParameter + 1}::int` }

const countLeft = 'SELECT pg_catalog.count(*) FROM _ek_left'

/** Passes over the next row and records it as a straggler, in one statement, if it is still the one that was tried. */
export function leaveSql(s: string, table: TableSql, bounds: Bounds, status: 'running' | 'verifying'): string {
  return `WITH ${fenceSql(s, table, status)}, ${windowSql(table, 'true', bounds)}, _ek_left AS (
      INSERT INTO ${s}.stragglers (run_id, key, leaf, failures)
      SELECT ${p.runId}, ${table.keyArray('w')}, (SELECT _ek_leaf FROM _ek_fence), ${row.failures}
      FROM _ek_window w WHERE ${isMeant(table.keyArray('w'))} RETURNING key
    ), ${leftSql(s, table, '(SELECT key FROM _ek_left)', countLeft)}`
}

/** Passes over a straggler that was tried alone, if it is still the next one. Its wait grows each time. */
export function leaveStragglerSql(s: string, table: TableSql): string {
  const { first, most } = stragglerBackoff
  return `WITH ${fenceSql(s, table, 'running')}, _ek_left AS (
      UPDATE ${s}.stragglers x SET attempts = x.attempts ${plus} 1, failures = x.failures ${plus} ${row.failures},
        retry_at = pg_catalog.clock_timestamp() ${plus} pg_catalog.make_interval(secs => least('${most}'::pg_catalog.float8,
          '${first}'::pg_catalog.float8 ${times} pg_catalog.power('2'::pg_catalog.float8, least(x.attempts, 32)::pg_catalog.float8)))
      WHERE ${fencePassed} AND x.id ${eq} (${nextStragglerSql(s)}) AND ${isMeant('x.key')} RETURNING x.id
    ), ${leftSql(s, table, '(SELECT ARRAY[id::pg_catalog.text] FROM _ek_left)', '0')}`
}

/** A wait for a lock may be reported without the row's key: the row is only postponed. */
function isMeant(key: string): string {
  return `(${row.key} IS NULL OR ${key} ${eq} ${row.key})`
}

/**
 * The next straggler of a sweep. A sweep goes through stragglers in the order of their ids. The cursor of their range
 * is the last id passed; `0` before the first.
 */
export function nextStragglerSql(s: string): string {
  return `SELECT d.id FROM ${s}.stragglers d WHERE ${dueSql('d')} ORDER BY d.id LIMIT 1`
}

/** Whether a straggler is due and still ahead in this sweep. */
export function dueSql(relation: string): string {
  return `${relation}.run_id ${eq} ${p.runId} AND ${relation}.id ${more} coalesce((${p.cursor})[1], '0')::bigint
    AND ${relation}.retry_at ${atMost} pg_catalog.clock_timestamp()`
}

/** Locks one row as a batch would, and releases it at once. Waits for its holder, for `lock_timeout` at most. */
export async function lockRow(client: ClientBase, table: TableSql, key: Cursor): Promise<void> {
  const same = table.sameKey(table.keys, table.typedKeys('$1::pg_catalog.text[]'))
  await client.query(`SELECT FROM ${table.from} WHERE ${same} FOR ${table.rowLock} OF ${table.name}`, [key])
}

/** Leaving a row behind does not show that the trouble is over, so its report stays. */
function leftSql(s: string, table: TableSql, cursor: string, scanned: string): string {
  const nothing: Omit<CheckpointValues, 'cursor' | 'matched' | 'left' | 'scanned'> = {
    ended: 'false',
    done: '0',
    gone: '0',
    still: "'[]'::jsonb",
    trouble: 'stays',
  }
  return checkpointSql(s, table, { ...nothing, cursor, scanned, matched: `(${countLeft})`, left: countLeft })
}
