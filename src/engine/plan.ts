import type { ClientBase } from 'pg'
import type { Cursor, Target } from '../core/key.ts'
import { type KeyRange, rangesBetween } from '../core/ranges.ts'
import { type TableSql, tableSql } from './table.ts'

const rangesPerWorker = 2
const leastRowsPerRange = 5000
const sampleRows = 20_000

/**
 * Cuts the table's keys into ranges of about the same number of rows, by a sample of them, up to the largest key of this
 * moment. What is inserted above it later is not the run's to change; the residual check says when it matters.
 */
export async function planRanges(client: ClientBase, target: Target, parallelism: number): Promise<KeyRange[]> {
  const table = tableSql(target)
  const last = await lastKey(client, table)
  if (!last) return rangesBetween([])
  const count = Math.min(parallelism * rangesPerWorker, Math.floor(target.estimatedRows / leastRowsPerRange))
  const boundaries = count > 1 ? await sampleBoundaries(client, table, target.estimatedRows, count) : []
  return rangesBetween([...boundaries, last])
}

async function lastKey(client: ClientBase, table: TableSql): Promise<Cursor | null> {
  const { rows } = await client.query<{ key: Cursor }>(
    `SELECT ${keyText(table)} AS key FROM ${table.from} ORDER BY ${table.keys.map((key) => `${key} DESC`).join(', ')} LIMIT 1`,
  )
  return rows[0]?.key ?? null
}

/** The largest keys of all but the last of `count` equal parts of a sample, ascending. */
async function sampleBoundaries(client: ClientBase, table: TableSql, rows: number, count: number): Promise<Cursor[]> {
  const percent = Math.min(100, (100 * sampleRows) / rows)
  const names = table.keys.map((key, index) => `${key} AS ${table.keyNames[index]}`).join(', ')
  const order = table.keyNames.join(', ')
  const descending = table.keyNames.map((key) => `${key} DESC`).join(', ')
  const result = await client.query<{ key: Cursor }>(
    `SELECT DISTINCT ON (part) ${table.keyArray('numbered')} AS key
     FROM (SELECT *, ntile($1) OVER (ORDER BY ${order}) AS part
       FROM (SELECT ${names} FROM ${table.from} TABLESAMPLE SYSTEM ($2)) AS sample) AS numbered
     ORDER BY part, ${descending}`,
    [count, percent],
  )
  return result.rows.slice(0, count - 1).map((row) => row.key)
}

function keyText(table: TableSql): string {
  return `ARRAY[${table.keys.map((key) => `${key}::text`).join(', ')}]`
}
