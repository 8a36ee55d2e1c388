import { randomUUID } from 'node:crypto'
import {
  type Arbitrary,
  array,
  assert,
  asyncProperty,
  bigInt,
  boolean,
  constant,
  constantFrom,
  double,
  float,
  integer,
  nat,
  oneof,
  string,
  tuple,
  uint8Array,
  uuid,
} from 'fast-check'
import type pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { defaultRunOptions } from '../../src/core/job/options.ts'
import { defineJob } from '../../src/core/job/update.ts'
import type { Cursor, Leaf, Target } from '../../src/core/range/key.ts'
import { type KeyRange, rangesBetween, rangesOfPhases } from '../../src/core/range/range.ts'
import { parseTableName, quoteIdentifier, quoteTableName } from '../../src/core/sql/identifier.ts'
import { type Sql, sql } from '../../src/core/sql/template.ts'
import { asAuthor } from '../../src/engine/batch/author.ts'
import { type BatchInput, type BatchResult, runBatch } from '../../src/engine/batch/batch.ts'
import { engineSettings, prepareSession } from '../../src/engine/batch/session.ts'
import { inspectTarget } from '../../src/engine/inspect/inspect.ts'
import type { ResolvedJob } from '../../src/engine/kinds/kind.ts'
import { resolveJob } from '../../src/engine/kinds/resolve.ts'
import { batchStatements } from '../../src/engine/kinds/single-statement/statements.ts'
import { writeUpdate } from '../../src/engine/kinds/update/update.ts'
import { planRanges } from '../../src/engine/ranges/plan.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { type Control, createControl } from '../../src/store/control.ts'
import { advanceRun } from '../../src/store/dispatch.ts'
import { type Lease, leaseRange, releaseRange } from '../../src/store/leases.ts'
import { listRanges } from '../../src/store/ranges.ts'
import type { Run } from '../../src/store/run.ts'
import { findRun } from '../../src/store/runs.ts'
import { migrate } from '../../src/store/schema/migrate.ts'
import { countStragglers } from '../../src/store/stragglers.ts'
import { changeStatus, createRun } from '../../src/store/transitions.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { queueKind, unpaced } from '../support/service.ts'
import { inTurn, perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

// Nothing here goes through the queue: once is enough.
const inDatabase = describe.skipIf(queueKind === 'redis')

/** SQL whose text is made by the test, for names that cannot stand in a template. */
const raw = (text: string): Sql => sql([text] as unknown as TemplateStringsArray)

/** A database with the control schema, and sessions as the engine has them. */
interface Engine {
  readonly database: TestDatabase
  readonly control: Control
  readonly pool: pg.Pool
  /** With the names and operators of a job's SQL; values are written as the engine writes them. */
  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<R[]>
}

async function openEngine(settings: Readonly<Record<string, string>> = {}): Promise<Engine> {
  const database = await createDatabase()
  const pool = createPool(database.url, {
    name: 'evenkeel engine',
    max: 3,
    settings: { ...engineSettings, ...settings },
  })
  pool.on('error', () => undefined)
  onTestFinished(() => pool.end())
  const control = createControl(pool, 'evenkeel')
  await migrate(control)
  return withPool(database, control, pool)
}

function withPool(database: TestDatabase, control: Control, pool: pg.Pool): Engine {
  return {
    database,
    control,
    pool,
    query: (text, values = []) =>
      inSession(
        pool,
        async (client) => (await asAuthor(client, control.s, {}, () => client.query(text, [...values]))).rows,
      ),
  }
}

async function inSession<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    return await work(client)
  } finally {
    client.release()
  }
}

async function inspect({ pool, control }: Engine, job: ResolvedJob): Promise<Target> {
  return inSession(pool, (client) => inspectTarget(client, control.s, job))
}

async function start({ control }: Engine, target: Target, job: ResolvedJob, ranges: readonly KeyRange[]): Promise<Run> {
  const run = {
    id: `${job.name}-${randomUUID()}`,
    createdAt: new Date().toISOString(),
    databases: null,
    job: job.name,
    params: {},
    paramsHash: randomUUID(),
    fingerprint: job.fingerprint,
    target,
    hasPredicate: job.where !== null,
    options: { ...defaultRunOptions, ...unpaced, parallelism: 64 },
    requestHash: '',
    createdBy: 'test',
    idempotencyKey: null,
  }
  const phased = rangesOfPhases(job.phases, ranges, { hasPredicate: job.where !== null, byLocale: target.byLocale })
  return createRun(control, run, phased)
}

/** Leases of all ranges that the run may be worked on now; its first ones start it. */
async function leaseAll({ control }: Engine, run: Run): Promise<Lease[]> {
  const { tickets } = await advanceRun(control, run.id, 'test')
  const leases: Lease[] = []
  for (const ticket of tickets) leases.push((await leaseRange(control, ticket, 'test', 60)) as Lease)
  if (leases.length > 0 && (await findRun(control, run.id))?.status === 'queued') {
    await changeStatus(control, run.id, 'start', { actor: 'test' })
  }
  return leases
}

/** The next batch of a lease, from `cursor`; null when the fence was shut. */
async function batch(
  { pool, control }: Engine,
  run: Run,
  job: ResolvedJob,
  lease: Lease,
  change: Partial<BatchInput> = {},
): Promise<BatchResult | null> {
  const input = {
    runId: run.id,
    ordinal: lease.ordinal,
    epoch: lease.epoch,
    cursor: lease.cursor,
    upper: lease.upper,
    limit: 100,
    leaseSeconds: 60,
    throttledMs: 0,
    ...change,
  }
  const statements = batchStatements(
    { s: control.s, target: run.target, leaf: lease.leaf },
    job.where,
    writeUpdate(job.set),
  )
  const bounds = { cursor: input.cursor !== null, upper: input.upper !== null }
  const statement = {
    keys: () => statements.window(bounds),
    stragglers: () => statements.stragglers(),
    residual: () => statements.residual(bounds),
    pages: () => statements.pages(),
  }[lease.phase]()
  return inSession(pool, (client) => asAuthor(client, control.s, run.target, () => runBatch(client, statement, input)))
}

/** Works a range to its end, or as long as stragglers are due. */
async function workRange(engine: Engine, run: Run, job: ResolvedJob, lease: Lease, limit: number): Promise<void> {
  let cursor: Cursor | null = lease.cursor
  for (;;) {
    const result = await batch(engine, run, job, lease, { cursor, limit })
    if (!result) throw new Error(`the fence of range ${lease.ordinal} was shut`)
    cursor = result.cursor
    if (result.ended || (lease.phase === 'stragglers' && result.scanned === 0)) break
  }
  await releaseRange(engine.control, lease, idle)
}

const idle = {
  wakeAfterSeconds: 0,
  attempts: 0,
  throttledMs: 0,
  batchSize: null,
  turnedAway: false,
  throttle: null,
}

/** Works a run as workers do until nothing is left for them; the ranges from the last to the first. */
async function work(engine: Engine, run: Run, job: ResolvedJob, limit: number): Promise<Run> {
  for (;;) {
    const leases = await leaseAll(engine, run)
    if (leases.length === 0) return (await findRun(engine.control, run.id)) as Run
    for (const lease of leases.reverse()) await workRange(engine, run, job, lease, limit)
  }
}

/** A table to run on, and rows for it: each a list of texts that are cast to the types of the key's columns. */
interface KeyCase {
  readonly title: string
  readonly setup?: string
  readonly table?: string
  /** Column and its type as CREATE TABLE takes it. */
  readonly key: ReadonlyArray<readonly [name: string, type: string]>
  /** Instead of a primary key. */
  readonly index?: string
  readonly partitions?: readonly [by: string, ...parts: string[]]
  readonly counter?: string
  readonly row: Arbitrary<string[]>
}

const bareType = (type: string) => type.replace(/ COLLATE .*/, '')

async function leafNamed({ database }: Engine, table: string): Promise<Leaf> {
  return { schema: 'public', table, oid: await database.value('SELECT $1::regclass::oid::text', [table]) }
}

class KeyTable {
  readonly engine: Engine
  readonly job: ResolvedJob
  /** The partitions, or null for the table itself. */
  leaves: Array<Leaf | null> = [null]
  readonly #case: KeyCase
  readonly #from: string
  readonly #counter: string
  readonly #names: string
  readonly #text: string

  private constructor(engine: Engine, keyCase: KeyCase) {
    this.engine = engine
    this.#case = keyCase
    this.#from = quoteTableName(parseTableName(keyCase.table ?? 'things'))
    this.#counter = keyCase.counter ?? 'touched'
    const names = keyCase.key.map(([name]) => quoteIdentifier(name))
    this.#names = names.join(', ')
    this.#text = `ARRAY[${names.map((name) => `${name}::text`).join(', ')}]`
    // No predicate: only the cursor keeps a row from being done twice.
    this.job = resolveJob(
      defineJob({
        name: 'count',
        table: keyCase.table ?? 'things',
        ...(keyCase.index ? { key: keyCase.key.map(([name]) => name) as [string, ...string[]] } : {}),
        set: { [this.#counter]: raw(`${quoteIdentifier(this.#counter)} + 1`), seq: sql`nextval('order_seq')` },
      }),
      {},
    )
  }

  static async create(engine: Engine, keyCase: KeyCase): Promise<KeyTable> {
    const table = new KeyTable(engine, keyCase)
    const columns = keyCase.key.map(([name, type]) => `${quoteIdentifier(name)} ${type} NOT NULL`).join(', ')
    const unique = keyCase.index ? '' : `, PRIMARY KEY (${table.#names})`
    const [by, ...parts] = keyCase.partitions ?? []
    const statements = [
      'CREATE SEQUENCE order_seq',
      keyCase.setup ?? '',
      `CREATE TABLE ${table.#from} (${columns}, ${quoteIdentifier(table.#counter)} int NOT NULL DEFAULT 0, seq bigint${unique}) ${by ? `PARTITION BY ${by}` : ''}`,
      ...parts.map((part, index) => `CREATE TABLE part_${index} PARTITION OF ${table.#from} ${part}`),
      keyCase.index ?? '',
    ]
    for (const statement of statements.filter(Boolean)) await engine.query(statement)
    if (by) table.leaves = await Promise.all(parts.map((_, index) => leafNamed(engine, `part_${index}`)))
    return table
  }

  /** Exactly these rows, without repetitions; returns the keys in their order, as the database sorts and writes them. */
  async fill(rows: ReadonlyArray<readonly string[]>): Promise<Cursor[]> {
    const values = this.#case.key.map(([, type], index) => `(given->>${index})::${bareType(type)}`)
    await this.engine.query(`TRUNCATE ${this.#from}`)
    await this.engine.query(
      `INSERT INTO ${this.#from} (${this.#names}) SELECT ${values.join(', ')} FROM jsonb_array_elements($1::jsonb) AS given ON CONFLICT DO NOTHING`,
      [JSON.stringify(rows)],
    )
    return (await this.read()).map((row) => row.key)
  }

  async read(): Promise<Array<{ key: Cursor; touched: number; seq: number; part: string }>> {
    return this.engine.query(
      `SELECT ${this.#text} AS key, ${quoteIdentifier(this.#counter)} AS touched, seq::int, tableoid::regclass::text AS part FROM ${this.#from} ORDER BY ${this.#names}`,
    )
  }

  async delete(keys: readonly Cursor[]): Promise<void> {
    const typed = this.#case.key.map(([, type], index) => `(given->>${index})::${bareType(type)}`)
    await this.engine.query(
      `DELETE FROM ${this.#from} WHERE (${this.#names}) IN (SELECT ${typed.join(', ')} FROM jsonb_array_elements($1::jsonb) AS given)`,
      [JSON.stringify(keys)],
    )
  }
}

interface Draw {
  readonly rows: ReadonlyArray<readonly string[]>
  readonly limit: number
  /** Where ranges end, as positions among the rows; the last row always ends one. */
  readonly cuts: readonly number[]
  /** Whether the rows that ranges end with are deleted before any window reaches them. */
  readonly withoutBounds: boolean
}

async function expectEachOnceAndInOrder(table: KeyTable, target: Target, draw: Draw): Promise<void> {
  const { engine, job } = table
  const keys = await table.fill(draw.rows)
  const ends = [...new Set([...draw.cuts.map((cut) => cut % keys.length), keys.length - 1])].sort((a, b) => a - b)
  const boundaries = keys.length === 0 ? [] : ends.map((end) => keys[end] as Cursor)
  const { leaves } = table
  const ranges = leaves.flatMap((leaf) => rangesBetween(boundaries, leaf))
  const run = await start(engine, target, job, ranges)
  if (draw.withoutBounds) await table.delete(boundaries)
  const kept = keys.map((_, position) => position).filter((at) => !draw.withoutBounds || !ends.includes(at))

  expect(await work(engine, run, job, draw.limit)).toMatchObject({ status: 'succeeded' })
  const rows = await table.read()
  expect(rows.map((row) => row.touched)).toEqual(kept.map(() => 1))
  const rangeOf = (position: number) => ends.filter((end) => end < position).length
  const visited = new Map<string, typeof rows>()
  for (const [index, row] of rows.entries()) {
    const range = `${row.part} ${rangeOf(kept[index] as number)}`
    // Within a batch rows are changed in the order of the file; a batch earlier is always before.
    const earlier = visited.get(range) ?? []
    const previous = earlier.at(-draw.limit)
    if (previous) expect(row.seq, `${previous.key} before ${row.key}`).toBeGreaterThan(previous.seq)
    visited.set(range, [...earlier, row])
  }
  const scanned = (await listRanges(engine.control, run.id)).filter((range) => range.phase === 'keys')
  const perLeaf = ranges.length / leaves.length
  const counts = Array.from({ length: perLeaf }, (_, range) =>
    scanned.filter(({ ordinal }) => ordinal % perLeaf === range).reduce((sum, { rowsScanned }) => sum + rowsScanned, 0),
  )
  const expected = counts.map((_, range) => kept.filter((position) => rangeOf(position) === range).length)
  expect(counts).toEqual(expected)
}

const words = oneof(
  string({ unit: 'grapheme', maxLength: 6 }),
  constantFrom(
    '',
    ' ',
    'a',
    'A',
    'á',
    'Á',
    'a ',
    ' a',
    'B',
    'z',
    'Z',
    'ß',
    'ss',
    'NULL',
    'null',
    '"',
    '\\',
    '\\"',
    '{}',
  ),
  constantFrom(
    '{a,b}',
    ',',
    "'",
    '$1',
    '\n',
    '\t',
    'a\u0301',
    'ﬁ',
    'I',
    'ı',
    'i',
    'İ',
    '10',
    '9',
    '-',
    '_',
    '漢字',
    '😀',
  ),
)
const ints = oneof(integer(), integer({ min: -5, max: 5 }))
const small = integer({ min: 0, max: 4 })
const bigints = oneof(
  bigInt({ min: 2n ** 63n - 50n, max: 2n ** 63n - 1n }),
  bigInt({ min: -(2n ** 63n), max: -(2n ** 63n) + 50n }),
  bigInt({ min: 2n ** 53n - 5n, max: 2n ** 53n + 5n }),
  bigInt({ min: -5n, max: 5n }),
)
/** Moments a microsecond apart, around the hour that Central Europe skips in spring. */
const micros = integer({ min: -30, max: 30 }).map((offset) => {
  const second = offset < 0 ? '2026-03-29 00:59:59' : '2026-03-29 01:00:00'
  return `${second}.${String((offset + 1_000_000) % 1_000_000).padStart(6, '0')}`
})
const ends = constantFrom('infinity', '-infinity')
const dates = oneof(
  integer({ min: 1, max: 28 }).map((day) => `2026-02-${String(day).padStart(2, '0')}`),
  integer({ min: 1, max: 4700 }).map((year) => `${String(year).padStart(4, '0')}-03-15 BC`),
  integer({ min: 10_000, max: 99_999 }).map((year) => `${year}-01-01`),
  ends,
)
const numerics = oneof(
  constantFrom(
    '1',
    '1.0',
    '1.10',
    '1.1',
    '1.100',
    '0',
    '-0.0',
    '0.00000000000000000001',
    'NaN',
    'Infinity',
    '-Infinity',
  ),
  tuple(bigInt({ min: -(10n ** 60n), max: 10n ** 60n }), nat(999)).map(([whole, part]) => `${whole}.${part}`),
  tuple(integer({ min: -2, max: 2 }), nat(99)).map(([whole, part]) => `${whole}.${part}`),
)
const one = (arbitrary: Arbitrary<unknown>) => arbitrary.map((value) => [String(value)])
const many = (...arbitraries: Arbitrary<unknown>[]) => tuple(...arbitraries).map((values) => values.map(String))
const id = (type: string): KeyCase['key'] => [['id', type]]

const cases: readonly KeyCase[] = [
  { title: 'int', key: id('int'), row: one(ints) },
  { title: 'bigint, also next to 2^63 and negative', key: id('bigint'), row: one(bigints) },
  { title: 'uuid', key: id('uuid'), row: one(uuid()) },
  { title: 'text in collation C', key: id('text COLLATE "C"'), row: one(words) },
  { title: 'text in collation en-x-icu', key: id('text COLLATE "en-x-icu"'), row: one(words) },
  {
    title: 'text in a collation where upper and lower case are equal',
    setup: `CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
    key: id('text COLLATE caseless'),
    row: one(words),
  },
  {
    title: 'timestamptz a microsecond apart',
    key: id('timestamptz'),
    row: one(
      oneof(
        micros.map((at) => `${at}+00`),
        ends,
      ),
    ),
  },
  {
    title: 'timestamp, infinity too',
    key: id('timestamp'),
    row: one(oneof(micros, ends, constant('0044-03-15 12:00 BC'))),
  },
  { title: 'numeric', key: id('numeric'), row: one(numerics) },
  { title: 'date, BC too', key: id('date'), row: one(dates) },
  { title: 'varchar(n)', key: id('varchar(5)'), row: one(words.map((word) => [...word].slice(0, 5).join(''))) },
  { title: 'char(n)', key: id('char(3)'), row: one(words.map((word) => [...word].slice(0, 3).join(''))) },
  {
    title: 'bytea',
    key: id('bytea'),
    row: one(uint8Array({ maxLength: 4 }).map((b) => `\\x${Buffer.from(b).toString('hex')}`)),
  },
  {
    title: 'double precision',
    key: id('double precision'),
    row: one(oneof(double(), constantFrom(0.1, 0.2, 0.1 + 0.2, 5e-324))),
  },
  { title: 'real', key: id('real'), row: one(oneof(float(), constantFrom(0.1, 16_777_216))) },
  {
    title: 'an enum, in the order it was declared in',
    setup: `CREATE TYPE mood AS ENUM ('sad', 'OK, so', 'ha"ppy', 'a', '{}', 'NULL')`,
    key: id('mood'),
    row: one(constantFrom('sad', 'OK, so', 'ha"ppy', 'a', '{}', 'NULL')),
  },
  {
    title: 'a domain',
    setup: `CREATE DOMAIN code AS text COLLATE "C" CHECK (value <> 'never')`,
    key: id('code'),
    row: one(words),
  },
  {
    title: 'inet',
    key: id('inet'),
    row: one(tuple(nat(3), nat(3), integer({ min: 8, max: 32 })).map(([a, b, mask]) => `10.${a}.0.${b}/${mask}`)),
  },
  {
    title: 'interval',
    key: id('interval'),
    row: one(tuple(small, nat(40), integer()).map(([m, d, us]) => `${m} mon ${d} days ${us} us`)),
  },
  {
    title: 'an array',
    key: id('text[]'),
    row: one(
      array(constantFrom('a', 'NULL', '"', '\\', ''), { maxLength: 2 }).map(
        (items) => `{${items.map((item) => JSON.stringify(item)).join(',')}}`,
      ),
    ),
  },
  {
    title: 'boolean and int',
    key: [
      ['done', 'boolean'],
      ['n', 'int'],
    ],
    row: many(boolean(), ints),
  },
  {
    title: 'text in en-x-icu and int',
    key: [
      ['name', 'text COLLATE "en-x-icu"'],
      ['n', 'int'],
    ],
    row: many(words, small),
  },
  {
    title: 'four columns',
    key: [
      ['a', 'int'],
      ['b', 'text COLLATE "C"'],
      ['c', 'date'],
      ['d', 'bigint'],
    ],
    row: many(small, constantFrom('x', 'Y', '', '"'), constantFrom('2026-01-01', '0044-03-15 BC', 'infinity'), bigints),
  },
  {
    title: 'names with quotes, spaces, capitals and keywords',
    setup: 'CREATE SCHEMA "Odd S"',
    table: '"Odd S"."Odd ""Table"""',
    key: [
      ['select', 'int'],
      ['Quo"te d', 'text COLLATE "C"'],
      ['ÄÖ ü', 'int'],
      ["it's $1 \\", 'int'],
    ],
    counter: 'touch"ed %',
    row: many(small, words, small, small),
  },
  { title: 'an index that descends', key: id('int'), index: 'CREATE UNIQUE INDEX ON things (id DESC)', row: one(ints) },
  {
    title: 'an index that descends in both its columns',
    key: [
      ['a', 'text'],
      ['b', 'int'],
    ],
    index: 'CREATE UNIQUE INDEX ON things (a DESC, b DESC)',
    row: many(constantFrom('x', 'Y', 'z'), ints),
  },
  {
    title: 'a unique index that carries other columns',
    key: id('int'),
    index: 'CREATE UNIQUE INDEX ON things (id) INCLUDE (seq)',
    row: one(ints),
  },
  {
    title: 'partitions by hash',
    key: id('int'),
    partitions: ['HASH (id)', ...[0, 1, 2].map((rest) => `FOR VALUES WITH (MODULUS 3, REMAINDER ${rest})`)],
    row: one(ints),
  },
  {
    title: 'partitions by list, the list not first in the key',
    key: [
      ['id', 'int'],
      ['region', 'text'],
    ],
    partitions: ['LIST (region)', "FOR VALUES IN ('eu')", "FOR VALUES IN ('us', 'ca')", 'DEFAULT'],
    row: many(integer({ min: 0, max: 20 }), constantFrom('eu', 'us', 'ca', 'asia')),
  },
  {
    title: 'partitions by range of time, the time first in the key',
    key: [
      ['at', 'timestamptz'],
      ['id', 'int'],
    ],
    partitions: ['RANGE (at)', "FOR VALUES FROM (MINVALUE) TO ('2026-03-29 01:00:00+00')", 'DEFAULT'],
    row: many(
      micros.map((at) => `${at}+00`),
      small,
    ),
  },
]

inDatabase('windows visit each key once and in order, whatever the size of batches and the number of ranges', () => {
  test.for(inTurn(cases, 8).map((keyCase) => [keyCase.title, keyCase] as const))('%s', async ([, keyCase]) => {
    const table = await KeyTable.create(await openEngine(), keyCase)
    const target = await inspect(table.engine, table.job)
    expect(target.partitioned).toBe(keyCase.partitions !== undefined)
    await assert(
      asyncProperty(
        array(keyCase.row, { maxLength: 40 }),
        integer({ min: 1, max: 50 }),
        array(nat(), { maxLength: 5 }),
        boolean(),
        (rows, limit, cuts, withoutBounds) =>
          expectEachOnceAndInOrder(table, target, { rows, limit, cuts, withoutBounds }),
      ),
      { numRuns: perCommit(8, { nightly: 30 }), interruptAfterTimeLimit: 40_000, markInterruptAsFailure: true },
    )
  })

  test('a cursor is an exact text whatever the settings of the database are', async () => {
    const engine = await openEngine()
    for (const setting of [
      "DateStyle = 'SQL, MDY'",
      "TimeZone = 'Asia/Kolkata'",
      "bytea_output = 'escape'",
      'extra_float_digits = -10',
      "IntervalStyle = 'iso_8601'",
    ]) {
      await engine.database.query(`ALTER DATABASE ${engine.database.name} SET ${setting}`)
    }
    const pool = createPool(engine.database.url, { name: 'evenkeel engine', max: 1, settings: engineSettings })
    onTestFinished(() => pool.end())
    const session = withPool(engine.database, engine.control, pool)
    await engine.database.query(
      `CREATE TABLE things (at timestamptz, f float8, b bytea, i interval, touched int NOT NULL DEFAULT 0, PRIMARY KEY (at, f, b, i));
       INSERT INTO things VALUES ('2026-02-01 12:00:00.000001+00', 0.1::float8 + 0.2::float8, '\\x00ff', '1 mon 2 days')`,
    )
    const job = resolveJob(defineJob({ name: 'count', table: 'things', set: { touched: sql`touched + 1` } }), {})
    const run = await start(session, await inspect(session, job), job, rangesBetween([]))
    const [lease] = (await leaseAll(session, run)) as [Lease]
    // The settings of the database hold for the run, except those under which the texts of two keys could be the same.
    const cursor = ['2026-02-01 17:30:00.000001+05:30', '0.30000000000000004', '\\000\\377', '1 mon 2 days']
    expect((await batch(session, run, job, lease))?.cursor).toEqual(cursor)
  })

  test('the cases have the collation they name', async () => {
    const { database } = await openEngine()
    expect(await database.value("SELECT count(*)::int FROM pg_collation WHERE collname = 'en-x-icu'")).toBe(1)
  })
})

inDatabase('ranges as they are planned', () => {
  test.for(cases.filter(({ key }) => key.length > 1).map((keyCase) => [keyCase.title, keyCase] as const))(
    '%s: they leave no key out and share none, whatever the sample held',
    async ([, keyCase]) => {
      const table = await KeyTable.create(await openEngine(), keyCase)
      const { engine, job } = table
      const target = await inspect(engine, job)
      await assert(
        asyncProperty(
          array(keyCase.row, { minLength: 1, maxLength: 200 }),
          integer({ min: 1, max: 4 }),
          integer({ min: 0, max: 60_000 }),
          async (rows, parallelism, estimatedRows) => {
            const keys = await table.fill(rows)
            const client = await engine.pool.connect()
            const ranges = await planRanges(
              client,
              engine.control.s,
              { ...target, estimatedRows },
              parallelism,
            ).finally(() => client.release())
            expect(ranges.map(({ upper }) => upper)).toContainEqual(keys.at(-1))
            expect(ranges.length).toBeLessThanOrEqual(parallelism * 2 + table.leaves.length - 1)
            const run = await start(engine, target, job, ranges)
            expect(await work(engine, run, job, 50)).toMatchObject({ status: 'succeeded' })
            expect((await table.read()).map((row) => row.touched)).toEqual(keys.map(() => 1))
          },
        ),
        { numRuns: perCommit(5, { nightly: 15 }), interruptAfterTimeLimit: 40_000, markInterruptAsFailure: true },
      )
    },
  )

  test('are about equal', async () => {
    const engine = await openEngine()
    await engine.query('CREATE TABLE things (id int PRIMARY KEY, label text)')
    await engine.query('INSERT INTO things SELECT n * n FROM generate_series(1, 20000) n')
    const job = resolveJob(defineJob({ name: 'label', table: 'things', set: { label: sql`'x'` } }), {})
    const target = await inspect(engine, job)
    const client = await engine.pool.connect()
    const ranges = await planRanges(client, engine.control.s, target, 2).finally(() => client.release())
    const sizes = await Promise.all(
      ranges.map(({ lower, upper }) =>
        engine.database.value<number>('SELECT count(*)::int FROM things WHERE id > $1 AND id <= $2', [
          lower?.[0] ?? 0,
          upper?.[0] ?? 0,
        ]),
      ),
    )
    expect(sizes).toEqual([5000, 5000, 5000, 5000])
  })

  test('of an empty table are one without bounds, and the run succeeds', async () => {
    const table = await KeyTable.create(await openEngine(), cases[0] as KeyCase)
    const target = await inspect(table.engine, table.job)
    await expectEachOnceAndInOrder(table, target, { rows: [], limit: 10, cuts: [], withoutBounds: false })
  })
})

const touch = { name: 'touch', table: 'items', where: sql`touched = 0`, set: { touched: sql`touched + 1` } }
const count = { name: 'count', table: 'items', set: { touched: sql`touched + 1` } }
const partitioned = `CREATE TABLE items (id bigint PRIMARY KEY, touched int NOT NULL DEFAULT 0, note text) PARTITION BY RANGE (id);
  CREATE TABLE items_0 PARTITION OF items FOR VALUES FROM (1) TO (11);
  CREATE TABLE items_1 PARTITION OF items DEFAULT`
const nested = `CREATE TABLE items (id bigint PRIMARY KEY, touched int NOT NULL DEFAULT 0, note text) PARTITION BY RANGE (id);
  CREATE TABLE half PARTITION OF items FOR VALUES FROM (1) TO (11) PARTITION BY RANGE (id);
  CREATE TABLE items_0 PARTITION OF half DEFAULT`
const plain = 'CREATE TABLE items (id bigint PRIMARY KEY, touched int NOT NULL DEFAULT 0, note text)'

/** A run over the items 1 to 10 in one range, leased and started. */
async function startItems(engine: Engine, definition: typeof touch | typeof count, ddl = plain) {
  await engine.database.query(ddl)
  await engine.database.query('INSERT INTO items (id) SELECT generate_series(1, 10)')
  const job = resolveJob(defineJob(definition), {})
  const target = await inspect(engine, job)
  const leaf = target.partitioned ? await leafNamed(engine, 'items_0') : null
  const run = await start(engine, target, job, rangesBetween([['10']], leaf))
  const [lease] = (await leaseAll(engine, run)) as [Lease]
  return { job, run, lease, batch: (change: Partial<BatchInput> = {}) => batch(engine, run, job, lease, change) }
}

/** How often each item was done, by id. */
async function touches({ database }: Engine): Promise<number[]> {
  return (await database.query<{ touched: number }>('SELECT touched FROM items ORDER BY id')).map((row) => row.touched)
}

const times = (touched: number, rows = 10) => Array.from({ length: rows }, () => touched)

/** Waits until a session of the engine waits for a lock. */
async function untilBlocked({ database }: Engine, sessions = 1): Promise<void> {
  await until('a batch to wait for a lock', () =>
    database.value(
      `SELECT count(*) = ${sessions} FROM pg_stat_activity WHERE datname = current_database()
       AND application_name = 'evenkeel engine' AND cardinality(pg_blocking_pids(pid)) > 0`,
    ),
  )
}

inDatabase('the fence', () => {
  test.for([
    ['under an older epoch', { epoch: '0' }],
    ['under an epoch that nobody has yet', { epoch: '2' }],
    ['from another cursor', { cursor: ['3'] }],
    ['to another upper bound', { upper: ['5'] }],
    ['without the upper bound', { upper: null }],
    ['for another range', { ordinal: 1 }],
    ['for another run', { runId: 'other-1' }],
  ] as const)('a batch %s finds nothing and changes nothing', async ([, change]) => {
    const engine = await openEngine()
    const { run, batch } = await startItems(engine, count)
    const before = await listRanges(engine.control, run.id)
    expect(await batch(change)).toBe(null)
    expect(await touches(engine)).toEqual(times(0))
    expect(await listRanges(engine.control, run.id)).toEqual(before)
    // The same batch with the right words passes: it was the fence that held the other.
    expect(await batch()).toMatchObject({ done: 10, scanned: 10, ended: true, cursor: ['10'] })
    expect(await touches(engine)).toEqual(times(1))
  })

  test.for(['queued', 'pausing', 'paused', 'cancelling', 'cancelled', 'verifying', 'succeeded', 'failed'])(
    'no batch changes a row while the run is %s, even under the right epoch',
    async (status) => {
      const engine = await openEngine()
      const { run, batch } = await startItems(engine, count)
      await engine.database.query('UPDATE evenkeel.runs SET status = $1', [status])
      const before = await listRanges(engine.control, run.id)
      expect(await batch()).toBe(null)
      expect(await touches(engine)).toEqual(times(0))
      expect(await listRanges(engine.control, run.id)).toEqual(before)
    },
  )

  test.for([
    ['plain', plain, 'items'],
    ['partitioned', partitioned, 'items_0'],
  ] as const)(
    'another table under the name of that which the run is about is left alone: %s',
    async ([, ddl, name]) => {
      const engine = await openEngine()
      const { batch } = await startItems(engine, count, ddl)
      expect(await batch({ limit: 4 })).toMatchObject({ done: 4 })
      await engine.query(`CREATE TABLE other (LIKE ${name} INCLUDING ALL)`)
      await engine.query('INSERT INTO other (id) SELECT generate_series(1, 10)')
      await engine.query(`ALTER TABLE ${name} RENAME TO before`)
      await engine.query(`ALTER TABLE other RENAME TO ${name}`)
      expect(await batch({ limit: 4, cursor: ['4'] })).toBe(null)
      expect(await engine.database.value(`SELECT sum(touched)::int FROM ${name}`)).toBe(0)
    },
  )

  test.for([
    ['its key has another type', plain, 'ALTER TABLE items ALTER id TYPE numeric'],
    ['its index is gone', plain, 'ALTER TABLE items DROP CONSTRAINT items_pkey'],
    [
      'its index is one of another shape',
      plain,
      'ALTER TABLE items DROP CONSTRAINT items_pkey; CREATE UNIQUE INDEX ON items (id) WHERE id > 0',
    ],
    ['its partition is detached', partitioned, 'ALTER TABLE items DETACH PARTITION items_0'],
    ['what its partition is a part of is detached', nested, 'ALTER TABLE items DETACH PARTITION half'],
  ] as const)('a batch finds nothing in a table of which %s since its lease began', async ([, ddl, change]) => {
    const engine = await openEngine()
    const { batch } = await startItems(engine, count, ddl)
    expect(await batch({ limit: 4 })).toMatchObject({ done: 4 })
    await engine.database.query(change)
    expect(await batch({ limit: 4, cursor: ['4'] })).toBe(null)
    expect(await engine.database.value(`SELECT sum(touched)::int FROM ${ddl === plain ? 'items' : 'items_0'}`)).toBe(4)
  })

  test.for([
    'REINDEX TABLE CONCURRENTLY items',
    'VACUUM FULL items',
    'CLUSTER items USING items_pkey',
    'CREATE INDEX ON items (note)',
  ])('a batch goes on in a table after %s', async (change) => {
    const engine = await openEngine()
    const { batch } = await startItems(engine, count)
    expect(await batch({ limit: 4 })).toMatchObject({ done: 4 })
    await engine.database.query(change)
    expect(await batch({ cursor: ['4'] })).toMatchObject({ done: 6, ended: true })
    expect(await touches(engine)).toEqual(times(1))
  })

  describe('of a table with triggers that fire for the statement', () => {
    const noted = (ddl: string, table: string) => `${ddl};
      CREATE TABLE notes (at text);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes VALUES (TG_WHEN); RETURN NULL; END $$;
      CREATE TRIGGER before BEFORE UPDATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION note();
      CREATE TRIGGER after AFTER UPDATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION note()`
    const notes = ({ database }: Engine) => database.value<number>('SELECT count(*)::int FROM notes')

    test.for([
      ['a plain table', noted(plain, 'items')],
      ['a partition', noted(partitioned, 'items_0')],
    ])('nothing of what they do stays of a batch that does not pass: %s', async ([, ddl]) => {
      const engine = await openEngine()
      const { batch } = await startItems(engine, count, ddl)
      expect(await batch({ epoch: '0' })).toBe(null)
      expect(await notes(engine)).toBe(0)
      expect(await batch()).toMatchObject({ done: 10 })
      expect(await notes(engine)).toBeGreaterThan(0)
    })

    test('nor of one that waits while its run is stopped', async () => {
      const engine = await openEngine({ lock_timeout: '30s', statement_timeout: '40s' })
      const { batch } = await startItems(engine, count, noted(plain, 'items'))
      const operator = await engine.database.session()
      await operator.query('BEGIN; UPDATE evenkeel.ranges SET epoch = epoch + 1')
      const waiting = batch()
      await untilBlocked(engine)
      await operator.query('COMMIT')
      expect(await waiting).toBe(null)
      expect(await notes(engine)).toBe(0)
      expect(await touches(engine)).toEqual(times(0))
    })
  })

  test('a range that is done is not done again', async () => {
    const engine = await openEngine()
    const { batch } = await startItems(engine, count)
    expect(await batch()).toMatchObject({ ended: true })
    expect(await batch({ cursor: ['10'] })).toBe(null)
    expect(await batch()).toBe(null)
    expect(await touches(engine)).toEqual(times(1))
  })

  test('the same batch sent again after it has committed finds its cursor moved', async () => {
    const engine = await openEngine()
    const { batch } = await startItems(engine, count)
    expect(await batch({ limit: 4 })).toMatchObject({ done: 4, cursor: ['4'], ended: false })
    expect(await batch({ limit: 4 })).toBe(null)
    expect(await touches(engine)).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
  })

  test.for([
    ['COMMIT', null, 1],
    ['ROLLBACK', { done: 10 }, 1],
  ] as const)(
    'the same batch sent again while the first is in flight waits for it; then, on its %s, one of them has done it',
    async ([end, outcome, touched]) => {
      const engine = await openEngine({ lock_timeout: '30s', statement_timeout: '40s' })
      const { job, run, lease, batch: again } = await startItems(engine, count)
      const first = await engine.pool.connect()
      try {
        await first.query('BEGIN')
        const statement = batchStatements(
          { s: engine.control.s, target: run.target, leaf: lease.leaf },
          job.where,
          writeUpdate(job.set),
        ).window({
          cursor: false,
          upper: true,
        })
        const input = { limit: 100, leaseSeconds: 60, throttledMs: 0, runId: run.id }
        expect(await runBatch(first, statement, { ...lease, ...input })).toMatchObject({ done: 10 })
        const second = again()
        await untilBlocked(engine)
        await first.query(end)
        if (outcome === null) expect(await second).toBe(null)
        else expect(await second).toMatchObject(outcome)
      } finally {
        first.release(true)
      }
      expect(await touches(engine)).toEqual(times(touched))
    },
  )

  test('a residual check changes nothing and passes only while the run is verifying', async () => {
    const engine = await openEngine()
    const { run, job } = await startItems(engine, touch)
    const [residual] = (await listRanges(engine.control, run.id)).filter((range) => range.phase === 'residual')
    const lease = { ...residual, runId: run.id, phase: 'residual', attempts: 0 } as unknown as Lease
    expect(await batch(engine, run, job, lease)).toBe(null)
    await engine.database.query("UPDATE evenkeel.runs SET status = 'verifying'")
    expect(await batch(engine, run, job, lease)).toMatchObject({ scanned: 10, matched: 10, done: 0, left: 10 })
    expect(await touches(engine)).toEqual(times(0))
    expect(await countStragglers(engine.control, run.id)).toBe(10)
  })
})

inDatabase('the check by pages', () => {
  /** The first range of a kind, leased; the others before and beside it are worked off. */
  async function leaseOf(engine: Engine, run: Run, job: ResolvedJob, phase: Lease['phase']): Promise<Lease> {
    for (;;) {
      const leases = await leaseAll(engine, run)
      expect(leases.length).toBeGreaterThan(0)
      const found = leases.find((lease) => lease.phase === phase)
      for (const lease of leases) if (lease !== found) await workRange(engine, run, job, lease, 100)
      if (found) return found
    }
  }
  const resolved = resolveJob(defineJob(touch), {})

  test.for([
    ['a table', plain],
    ['a partition', partitioned],
  ])('finds a row whose key moves behind the check by keys, and its run does it: %s', async ([, ddl]) => {
    const engine = await openEngine()
    const { run, job } = await startItems(engine, touch, ddl)
    // The run stays as startItems has leased it: its one range is worked off here.
    const [range] = await listRanges(engine.control, run.id)
    await workRange(engine, run, job, { ...range, runId: run.id } as unknown as Lease, 100)
    const residual = await leaseOf(engine, run, job, 'residual')
    await engine.database.query('UPDATE items SET touched = 0 WHERE id = 9')
    expect(await batch(engine, run, job, residual, { limit: 8 })).toMatchObject({ scanned: 8, left: 0 })
    await engine.database.query('DELETE FROM items WHERE id = 1')
    await engine.database.query('UPDATE items SET id = 1 WHERE id = 9')
    expect(await batch(engine, run, job, residual, { cursor: ['8'], limit: 8 })).toMatchObject({ left: 0, ended: true })
    await releaseRange(engine.control, residual, idle)
    expect(await work(engine, run, job, 100)).toMatchObject({ status: 'succeeded' })
    expect(await touches(engine)).toEqual(times(1, 9))
  })

  test('reads each row once, however few pages a window has, and while the table grows', async () => {
    const engine = await openEngine()
    await engine.database.query(plain)
    await engine.database.query("INSERT INTO items SELECT n, 0, repeat('x', 1000) FROM generate_series(1, 100) n")
    await engine.database.query('ANALYZE items')
    const target = await inspect(engine, resolved)
    const run = await start(engine, target, resolved, rangesBetween([['100']]))
    const lease = await leaseOf(engine, run, resolved, 'pages')
    let cursor: Cursor | null = null
    let scanned = 0
    for (let ended = false; !ended; ) {
      const result: BatchResult | null = await batch(engine, run, resolved, lease, { cursor, limit: 1 })
      expect(result).toMatchObject({ left: 0 })
      scanned += result?.scanned ?? 0
      cursor = result?.cursor ?? null
      ended = result?.ended ?? true
      if (scanned < 20)
        await engine.database.query("INSERT INTO items SELECT max(id) + 1, 1, repeat('x', 1000) FROM items")
    }
    expect(scanned).toBeGreaterThanOrEqual(100)
    expect(await engine.database.value('SELECT count(*)::int FROM items')).toBe(scanned)
  })

  test.for([
    ['touch', touch],
    ['count', count],
  ] as const)('%s: ends a run whose index does not find a row', async ([, definition]) => {
    const engine = await openEngine()
    await engine.database.query("CREATE COLLATION changing (provider = icu, locale = 'sv')")
    await engine.database.query(
      'CREATE TABLE items (id text COLLATE changing PRIMARY KEY, touched int NOT NULL DEFAULT 0)',
    )
    await engine.database.query(
      "INSERT INTO items SELECT CASE WHEN n % 10 = 0 THEN 'å' ELSE 'k' END || lpad(n::text, 3, '0') FROM generate_series(1, 200) n",
    )
    const job = resolveJob(defineJob(definition), {})
    const run = await start(engine, await inspect(engine, job), job, rangesBetween([]))
    const lease = await leaseOf(engine, run, job, 'pages')
    let scanned = 0
    let cursor: Cursor | null = null
    for (let ended = false; !ended; ) {
      const result: BatchResult | null = await batch(engine, run, job, lease, { cursor })
      expect(result).toMatchObject({ left: 0 })
      scanned += result?.scanned ?? 0
      cursor = result?.cursor ?? null
      ended = result?.ended ?? true
    }
    expect(scanned).toBe(200)
    const columns = await engine.database.value<string>(
      `SELECT coalesce(max(attname || ' = ''en''') FILTER (WHERE attname IN ('colllocale', 'colliculocale')), 'collcollate = ''en'', collctype = ''en''')
       FROM pg_attribute WHERE attrelid = 'pg_collation'::regclass AND NOT attisdropped`,
    )
    await engine.database.query(`UPDATE pg_collation SET ${columns} WHERE collname = 'changing'`)
    // A session keeps the collations that it has used.
    const pool = createPool(engine.database.url, { name: 'evenkeel engine', max: 1, settings: engineSettings })
    onTestFinished(() => pool.end())
    await engine.database.query('UPDATE evenkeel.ranges SET cursor = NULL, done = false WHERE ordinal = $1', [
      lease.ordinal,
    ])
    await expect(batch({ ...engine, pool }, run, job, lease)).rejects.toThrow('its index is out of order')
  })
})

inDatabase.each([
  ['a table', plain],
  ['a partition', partitioned],
])('rows that others change meanwhile in %s', (_, ddl) => {
  test.for([
    ['touch', touch],
    ['count', count],
  ] as const)(
    '%s: a row held by an open transaction is left, and done once when it is free',
    async ([, definition]) => {
      const engine = await openEngine()
      const { run, job, batch } = await startItems(engine, definition, ddl)
      const other = await engine.database.session()
      await other.query('BEGIN')
      await other.query("UPDATE items SET note = 'theirs' WHERE id = 5")
      expect(await batch()).toMatchObject({ scanned: 10, matched: 10, done: 9, left: 1, ended: true })
      expect(await countStragglers(engine.control, run.id)).toBe(1)
      await other.query('COMMIT')
      expect(await work(engine, run, job, 10)).toMatchObject({ status: 'succeeded' })
      expect(await touches(engine)).toEqual(times(1))
      expect(await engine.database.value('SELECT note FROM items WHERE id = 5')).toBe('theirs')
      expect(await countStragglers(engine.control, run.id)).toBe(0)
    },
  )

  /** A batch whose snapshot is taken before, and whose locks are taken after, another session's commit. */
  async function batchAround(engine: Engine, definition: typeof touch | typeof count, meanwhile: string) {
    const items = await startItems(engine, definition, ddl)
    const holder = await engine.database.session()
    await holder.query('BEGIN')
    await holder.query('SELECT FROM evenkeel.ranges FOR UPDATE')
    const running = items.batch()
    await untilBlocked(engine)
    await engine.database.query(meanwhile)
    await holder.query('ROLLBACK')
    return { ...items, result: await running }
  }
  const patient = { lock_timeout: '30s', statement_timeout: '40s' }

  test.for([
    ['touch', touch],
    ['count', count],
  ] as const)(
    '%s: a row changed and committed between our snapshot and our lock is done once, on their version',
    async ([, definition]) => {
      const engine = await openEngine(patient)
      const { result, run, job } = await batchAround(
        engine,
        definition,
        "UPDATE items SET note = 'theirs' WHERE id = 5",
      )
      expect((result?.done ?? 0) + (result?.left ?? 0)).toBe(10)
      expect(result).toMatchObject({ scanned: 10, ended: true })
      expect((await touches(engine))[4]).toBe(result?.left === 0 ? 1 : 0)
      expect(await work(engine, run, job, 10)).toMatchObject({ status: 'succeeded' })
      expect(await touches(engine)).toEqual(times(1))
      expect(await engine.database.value('SELECT note FROM items WHERE id = 5')).toBe('theirs')
    },
  )

  test('a row that no longer matches by the time we lock it is not changed, and counted as gone', async () => {
    const engine = await openEngine(patient)
    const { run, job } = await batchAround(engine, touch, 'UPDATE items SET touched = 100 WHERE id = 5')
    expect(await work(engine, run, job, 10)).toMatchObject({ status: 'succeeded' })
    expect(await touches(engine)).toEqual([1, 1, 1, 1, 100, 1, 1, 1, 1, 1])
    const ranges = await listRanges(engine.control, run.id)
    expect(ranges.reduce((sum, range) => sum + range.rowsGone, 0)).toBe(1)
  })

  test('a row deleted between our snapshot and our lock is counted as gone', async () => {
    const engine = await openEngine(patient)
    const { run, job } = await batchAround(engine, count, 'DELETE FROM items WHERE id = 5')
    expect(await work(engine, run, job, 10)).toMatchObject({ status: 'succeeded' })
    expect(await touches(engine)).toEqual(times(1, 9))
    const ranges = await listRanges(engine.control, run.id)
    expect(ranges.reduce((sum, range) => sum + range.rowsGone, 0)).toBe(1)
    expect(ranges.reduce((sum, range) => sum + range.rowsDone, 0)).toBe(9)
  })
})

inDatabase('rows that a trigger keeps from being changed', () => {
  test('are written down: a row that was locked is not yet a row that was done', async () => {
    const engine = await openEngine()
    const guarded = `${plain};
      CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
      CREATE TRIGGER keep BEFORE UPDATE ON items FOR EACH ROW WHEN (old.id = 5) EXECUTE FUNCTION keep()`
    const { run, batch } = await startItems(engine, count, guarded)
    expect(await batch()).toMatchObject({ scanned: 10, matched: 10, done: 9, left: 1 })
    expect(await countStragglers(engine.control, run.id)).toBe(1)
  })
})

inDatabase('partitions', () => {
  test('rows at the same place in different partitions are not taken for one another', async () => {
    const engine = await openEngine()
    const halves = `CREATE TABLE items (id bigint PRIMARY KEY, touched int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
      CREATE TABLE items_0 PARTITION OF items FOR VALUES FROM (1) TO (6);
      CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (6) TO (11)`
    await engine.database.query(halves)
    await engine.database.query('INSERT INTO items (id) SELECT generate_series(1, 10)')
    expect(await engine.database.value('SELECT count(DISTINCT ctid)::int FROM items')).toBe(5)
    const job = resolveJob(defineJob(count), {})
    const target = await inspect(engine, job)
    const client = await engine.pool.connect()
    const ranges = await planRanges(client, engine.control.s, target, 2).finally(() => client.release())
    expect(ranges.map(({ leaf, upper }) => [leaf?.table, upper])).toEqual([
      ['items_0', ['5']],
      ['items_1', ['10']],
    ])
    const run = await start(engine, target, job, ranges)
    const other = await engine.database.session()
    await other.query('BEGIN')
    await other.query('SELECT FROM items WHERE id IN (3, 9) FOR UPDATE')
    const leases = await leaseAll(engine, run)
    for (const lease of leases.filter(({ phase }) => phase === 'keys')) await workRange(engine, run, job, lease, 10)
    expect(await countStragglers(engine.control, run.id)).toBe(2)
    expect(await touches(engine)).toEqual([1, 1, 0, 1, 1, 1, 1, 1, 0, 1])
    // Stragglers are of the whole table, in which a ctid names one row in each partition.
    await other.query('COMMIT')
    expect(await work(engine, run, job, 10)).toMatchObject({ status: 'succeeded' })
    expect(await touches(engine)).toEqual(times(1))
  })

  test('a table that is itself a partition goes by ctid, and leaves the others alone', async () => {
    const engine = await openEngine()
    await engine.database.query(partitioned)
    await engine.database.query('INSERT INTO items (id) SELECT generate_series(1, 100)')
    const job = resolveJob(defineJob({ ...count, table: 'items_1' }), {})
    const target = await inspect(engine, job)
    expect(target.partitioned).toBe(false)
    const client = await engine.pool.connect()
    const ranges = await planRanges(client, engine.control.s, target, 2).finally(() => client.release())
    const run = await start(engine, target, job, ranges)
    expect(await work(engine, run, job, 7)).toMatchObject({ status: 'succeeded' })
    expect(
      await engine.query('SELECT DISTINCT touched, tableoid::regclass::text AS part FROM items ORDER BY 2'),
    ).toEqual([
      { touched: 0, part: 'items_0' },
      { touched: 1, part: 'items_1' },
    ])
  })
})

inDatabase('the plan of a batch', () => {
  /** The scans of the user's table in the statement that the engine runs, as the session plans it for every cursor. */
  async function scansOf(engine: Engine, target: Target, leaf: Leaf | null, text: string): Promise<string[]> {
    interface Node {
      readonly [detail: string]: unknown
      readonly Plans?: readonly Node[]
    }
    const client = await engine.pool.connect()
    try {
      await prepareSession(client, target, leaf, 'off', 12)
      const [low, high] = [10_000, 90_000].map((id) => `'{${target.key.map((key) => (key.name === 'id' ? id : 1))}}'`)
      await client.query(
        `PREPARE explained (text, int, bigint, text[], text[], int, float8, float8, float8, jsonb) AS ${text}`,
      )
      const { rows } = await client.query(
        `EXPLAIN (FORMAT JSON) EXECUTE explained ('run', 0, 1, ${low}, ${high}, 100, 1, 1, 1, NULL)`,
      )
      await client.query('DEALLOCATE explained')
      const scans: string[] = []
      const walk = (node: Node, part: string) => {
        const inside = typeof node['Subplan Name'] === 'string' ? node['Subplan Name'] : part
        const table = String(node['Relation Name'] ?? '')
        if (/Sort/.test(String(node['Node Type'])) && inside.includes('_ek_window')) scans.push(`${inside}: a sort`)
        if (/^things/.test(table) && node['Node Type'] !== 'ModifyTable') {
          const condition = node['Index Cond'] ?? node['TID Cond']
          const limited = inside.includes('_ek_window') && /^Index/.test(String(node['Node Type']))
          const byPlace = /\b(id|region|ctid)\b/.test(String(condition))
          if (!byPlace && !limited) scans.push(`${inside}: all of ${table} by ${node['Node Type']}`)
        }
        for (const child of node.Plans ?? []) walk(child, inside)
      }
      walk(rows[0]['QUERY PLAN'][0].Plan, '')
      return scans
    } finally {
      client.release()
    }
  }

  const tables: ReadonlyArray<readonly [title: string, ...ddl: string[]]> = [
    ['a plain table', 'CREATE TABLE things (id int PRIMARY KEY, region int NOT NULL, label text)'],
    [
      'a plain table with a composite key',
      'CREATE TABLE things (id int, region int, label text, PRIMARY KEY (region, id))',
    ],
    [
      'partitions by hash',
      'CREATE TABLE things (id int PRIMARY KEY, region int NOT NULL, label text) PARTITION BY HASH (id)',
      ...[0, 1, 2, 3].map(
        (rest) => `CREATE TABLE things_${rest} PARTITION OF things FOR VALUES WITH (MODULUS 4, REMAINDER ${rest})`,
      ),
    ],
    [
      'partitions by list with a composite key',
      'CREATE TABLE things (id int, region int, label text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)',
      ...[0, 1, 2, 3].map((region) => `CREATE TABLE things_${region} PARTITION OF things FOR VALUES IN (${region})`),
    ],
  ]

  async function expectWindowOnly(ddl: readonly string[]): Promise<void> {
    const engine = await openEngine()
    for (const statement of ddl) await engine.database.query(statement)
    await engine.database.query("INSERT INTO things SELECT n, n % 4, 'done' FROM generate_series(1, 100000) n")
    await engine.database.query('CREATE INDEX ON things (label)')
    // The statistics know of no row that matches, as those of a column that was full until yesterday.
    await engine.database.query('ANALYZE things')
    const job = resolveJob(
      defineJob({ name: 'label', table: 'things', where: sql`label IS NULL`, set: { label: sql`'done'` } }),
      {},
    )
    const target = await inspect(engine, job)
    const leaf = target.partitioned ? await leafNamed(engine, 'things_0') : null
    const { window, residual } = batchStatements(
      { s: 'evenkeel', target: target, leaf: leaf },
      job.where,
      writeUpdate(job.set),
    )
    const { stragglers } = batchStatements({ s: 'evenkeel', target, leaf: null }, job.where, writeUpdate(job.set))
    const both = { cursor: true, upper: true }
    const first = { cursor: false, upper: true }
    const open = { cursor: true, upper: false }
    const whole = { cursor: false, upper: false }
    const found: Record<string, string[]> = { stragglers: await scansOf(engine, target, null, stragglers().text) }
    for (const [name, bounds] of Object.entries({ both, first, open, whole })) {
      found[`window ${name}`] = await scansOf(engine, target, leaf, window(bounds).text)
      found[`residual ${name}`] = await scansOf(engine, target, leaf, residual(bounds).text)
    }
    expect(Object.entries(found).flatMap(([statement, scans]) => scans.map((scan) => `${statement}: ${scan}`))).toEqual(
      [],
    )
  }

  test.for(tables)('of %s reads its window and nothing else, whatever bounds it has', ([, ...ddl]) =>
    expectWindowOnly(ddl),
  )
})
