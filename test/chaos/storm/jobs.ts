import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'

/** A table of one of the kinds that the engine has a way of its own with. */
export interface StormTable {
  readonly name: string
  /** The key's columns with their types. */
  readonly key: ReadonlyArray<readonly [column: string, type: string]>
  readonly partitions: readonly string[]
  /** The n-th key, as SQL. */
  readonly keyOf: string
}

const tables: readonly StormTable[] = [
  { name: 'plain', key: [['id', 'bigint']], partitions: [], keyOf: 'n * 7' },
  {
    name: 'parted',
    key: [['id', 'bigint']],
    partitions: [
      'FOR VALUES FROM (MINVALUE) TO (900)',
      'FOR VALUES FROM (900) TO (1200)',
      'FOR VALUES FROM (1200) TO (MAXVALUE)',
    ],
    keyOf: 'n',
  },
  {
    name: 'paired',
    key: [
      ['region', 'text'],
      ['number', 'integer'],
    ],
    partitions: [],
    keyOf: `(ARRAY['', 'Ä b', 'a,"{}', 'z\\'])[1 + n % 4], n`,
  },
  { name: 'named', key: [['name', 'text']], partitions: [], keyOf: "md5(n::text) || '/' || n" },
]

/** A job of the storm: `some` has a predicate, `every` has none and is not idempotent. Both can run on a table at once. */
export interface StormJob {
  readonly name: string
  readonly table: StormTable
  readonly mark: 'some' | 'every'
  /** Which rows it is about, as SQL; of these, the bad ones cannot be done. */
  readonly about: string
}

export const jobs: readonly StormJob[] = tables.flatMap((table) => [
  { name: `${table.name}-some`, table, mark: 'some' as const, about: 'wanted' },
  { name: `${table.name}-every`, table, mark: 'every' as const, about: 'true' },
])

/**
 * Each job counts how often it did a row, and notes in which transaction: its commit's time is Postgres' own word on when.
 * `ms` is how long a row takes, so that there is a batch in flight at nearly every moment.
 */
export async function writeJobs(folder: string): Promise<void> {
  for (const { name, table, mark } of jobs) {
    const where = mark === 'some' ? 'where: sql`wanted AND some_note IS NULL`,' : ''
    const source = `import { defineJob, sql } from 'evenkeel'
import { z } from 'zod'
export default defineJob({
  name: '${name}', table: '${table.name}', params: z.object({ ms: z.number() }), ${where}
  set: ({ ms }) => ({
    ${mark}_done: sql\`${mark}_done + 1\`,
    ${mark}_xact: sql\`pg_current_xact_id()\`,
    ${mark}_note: sql\`'done' || pg_sleep(\${ms}::float8 / 1000)::text || 1 / (NOT bad)::int\`,
  }),
})
`
    await writeFile(join(folder, `${name}.ts`), source)
  }
}

export async function createTables(pool: pg.Pool): Promise<void> {
  for (const { name, key, partitions } of tables) {
    const columns = key.map(([column, type]) => `${column} ${type}`).join(', ')
    await pool.query(
      `CREATE TABLE ${name} (${columns}, wanted boolean NOT NULL, bad boolean NOT NULL, edits int NOT NULL DEFAULT 0,
         some_done int NOT NULL DEFAULT 0, some_xact xid8, some_note text,
         every_done int NOT NULL DEFAULT 0, every_xact xid8, every_note text,
         PRIMARY KEY (${key.map(([column]) => column).join(', ')})) ${partitions.length > 0 ? 'PARTITION BY RANGE (id)' : ''}`,
    )
    for (const [index, bounds] of partitions.entries())
      await pool.query(`CREATE TABLE ${name}_${index} PARTITION OF ${name} ${bounds}`)
  }
}

/** As it was before any job: so many rows, of which `some` are wanted, and each so-manyth is bad; none where that is 0. */
export async function fillTable(
  pool: pg.Pool,
  { name, key, keyOf }: StormTable,
  rows: number,
  badEvery: number,
): Promise<void> {
  await pool.query(`TRUNCATE ${name}`)
  const columns = key.map(([column]) => column).join(', ')
  await pool.query(
    `INSERT INTO ${name} (${columns}, wanted, bad)
     SELECT ${keyOf}, n % 5 > 0, coalesce(n % nullif($2::int, 0) = 0, false) FROM generate_series(1, $1::int) AS n`,
    [rows, badEvery],
  )
  await pool.query(`ANALYZE ${name}`)
}
