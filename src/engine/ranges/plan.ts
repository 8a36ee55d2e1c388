import type { ClientBase } from 'pg'
import type { Leaf, Target } from '../../core/range/key.ts'
import { type KeyRange, rangesBetween } from '../../core/range/range.ts'
import { tableSql } from '../batch/table.ts'
import { listPartitions } from '../inspect/partitions.ts'
import { findSplitKeys, lastKey } from './boundaries.ts'

const rangesPerWorker = 2
const minRowsPerRange = 5000

/**
 * Splits the table's keys into ranges of about the same number of rows, up to the largest key at the moment; each
 * partition by itself. Rows inserted above it later are not the run's to change. The residual check says when that
 * matters.
 */
export async function planRanges(
  client: ClientBase,
  s: string,
  target: Target,
  parallelism: number,
): Promise<KeyRange[]> {
  const wanted = parallelism * rangesPerWorker
  if (!target.partitioned) {
    const ranges = await rangesOf(client, target, null, wanted, target.estimatedRows)
    return ranges ?? rangesBetween([])
  }
  const leaves = await listPartitions(client, s, target)
  const known = leaves.reduce((sum, leaf) => sum + leaf.estimatedRows, 0)
  const all: KeyRange[] = []
  for (const { schema, table, oid, estimatedRows } of leaves) {
    const rows = known > 0 ? estimatedRows : target.estimatedRows / leaves.length
    const part = Math.ceil((wanted * rows) / Math.max(1, known, target.estimatedRows))
    all.push(...((await rangesOf(client, target, { schema, table, oid }, part, rows)) ?? []))
  }
  return all
}

/** Null if there is no row. */
async function rangesOf(
  client: ClientBase,
  target: Target,
  leaf: Leaf | null,
  wanted: number,
  tableRows: number,
): Promise<KeyRange[] | null> {
  const table = tableSql(target, leaf)
  const last = await lastKey(client, table)
  if (!last) return null
  const parts = Math.min(wanted, Math.floor(tableRows / minRowsPerRange))
  const ends = await findSplitKeys(client, table, { lower: null, upper: last }, parts)
  return rangesBetween([...ends, last], leaf)
}
