import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import { defineJob, type UpdateDefinition } from '../../src/core/job/update.ts'
import type { Target } from '../../src/core/range/key.ts'
import { sql } from '../../src/core/sql/template.ts'
import { engineSettings } from '../../src/engine/batch/session.ts'
import { tableSql } from '../../src/engine/batch/table.ts'
import { explainWindow } from '../../src/engine/inspect/explain.ts'
import { inspectTarget } from '../../src/engine/inspect/inspect.ts'
import { resolveJob } from '../../src/engine/kinds/resolve.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { createControl } from '../../src/store/control.ts'
import { migrate } from '../../src/store/schema/migrate.ts'
import { createDatabase, createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { release } from '../support/postgres.ts'
import { jobSource, jobsFolder, queueKind, startInProcess } from '../support/service.ts'

// Nothing here but the last goes through the queue: once is enough.
const inDatabase = describe.skipIf(queueKind === 'redis')

const users = 'CREATE TABLE users (id bigint PRIMARY KEY, name text, label text, visits int)'

/** A database with the control schema and what the test needs besides. */
async function prepare(...ddl: string[]): Promise<TestDatabase> {
  const database = await createDatabase()
  const pool = new (await import('pg')).default.Pool({ connectionString: database.url, max: 1 })
  pool.on('error', () => undefined)
  onTestFinished(() => pool.end())
  await migrate(createControl(pool, 'evenkeel'))
  for (const statement of ddl) await database.query(statement)
  return database
}

/** A role that may log in and nothing else, gone when the test ends; and the URL that it connects with. */
async function createRole(database: TestDatabase): Promise<{ role: string; url: string }> {
  const role = `role_${randomBytes(6).toString('hex')}`
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`)
  onTestFinished(async () => {
    await database.query(`DROP OWNED BY ${role} CASCADE`)
    await database.query(`DROP ROLE ${role}`)
  })
  const url = new URL(database.url)
  url.username = role
  url.password = 'secret'
  return { role, url: url.href }
}

/** A session as the engine has it. */
async function engineSession(url: string): Promise<pg.PoolClient> {
  const pool = createPool(url, { name: 'evenkeel engine', max: 1, settings: engineSettings })
  pool.on('error', () => undefined)
  const client = await pool.connect()
  onTestFinished(async () => {
    client.release()
    await pool.end()
  })
  return client
}

type Change = Partial<UpdateDefinition>

const jobOf = (change: Change) =>
  resolveJob(defineJob({ name: 'label', table: 'users', set: { label: sql`'x'` }, ...change }), {})

async function inspect(url: string, change: Change = {}): Promise<Target> {
  return inspectTarget(await engineSession(url), '"evenkeel"', jobOf(change))
}

/** What is wrong, each finding by itself. */
async function findings(url: string, change: Change = {}): Promise<string[]> {
  const problem = await inspect(url, change).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(problem).toBeInstanceOf(Problem)
  expect((problem as Problem).kind).toBe('invalid')
  const { details, message } = problem as Problem
  for (const finding of details.findings as string[]) expect(message).toContain(finding.replace(/\.$/, ''))
  return details.findings as string[]
}

/** The one thing that is wrong. */
async function onlyFinding(url: string, change: Change = {}): Promise<string> {
  const found = await findings(url, change)
  expect(found).toHaveLength(1)
  return found[0] as string
}

inDatabase('a table that can be worked on', () => {
  test('is described by its schema, its key and how its rows are found again', async () => {
    const { url } = await prepare(users, 'INSERT INTO users SELECT generate_series(1, 7)')
    expect(await inspect(url)).toMatchObject({
      schema: 'public',
      table: 'users',
      key: [{ name: 'id', type: 'pg_catalog.int8' }],
      partitioned: false,
      rowLock: 'NO KEY UPDATE',
      estimatedRows: 7,
    })
  })

  test('has the key that the job names, in the types that never cut a text', async () => {
    const { url } = await prepare(
      'CREATE TABLE users (a char(3) NOT NULL, b varchar(5) NOT NULL, c numeric(5, 2) NOT NULL, label text, UNIQUE (a, b, c))',
    )
    expect((await inspect(url, { key: ['a', 'b', 'c'] })).key).toMatchObject([
      { name: 'a', type: 'pg_catalog.bpchar' },
      { name: 'b', type: 'pg_catalog."varchar"' },
      { name: 'c', type: 'pg_catalog."numeric"' },
    ])
  })

  test('may have any number of other indexes, as long as one is good', async () => {
    const { url } = await prepare(
      users,
      'CREATE INDEX ON users (id)',
      'CREATE UNIQUE INDEX ON users (id) WHERE id > 0',
      'CREATE INDEX ON users (lower(name))',
    )
    expect((await inspect(url)).key).toMatchObject([{ name: 'id', type: 'pg_catalog.int8' }])
  })
})

inDatabase('a table that cannot be worked on is refused before a row is touched', () => {
  test('one that does not exist', async () => {
    const { url } = await prepare()
    expect(await onlyFinding(url)).toBe('There is no table users.')
    expect(await onlyFinding(url, { table: 'nowhere.users' })).toBe('There is no table nowhere.users.')
  })

  test.for([
    ['a view', 'CREATE VIEW users AS SELECT 1 AS id, 2 AS label', 'name the table behind it'],
    ['a materialized view', 'CREATE MATERIALIZED VIEW users AS SELECT 1 AS id, 2 AS label', 'REFRESH'],
    ['a sequence', 'CREATE SEQUENCE users', 'name a table'],
    ['an index', 'CREATE TABLE t (id int); CREATE INDEX users ON t (id)', 'name its table'],
    ['a composite type', 'CREATE TYPE users AS (id int, label text)', 'name a table'],
  ])('%s, with nothing asked of it that only a table can have', async ([kind, ddl, advice]) => {
    const { url } = await prepare(ddl as string)
    const finding = await onlyFinding(url)
    expect(finding).toContain(`users is ${kind}, not a table: `)
    expect(finding).toContain(advice)
  })

  test.for([
    ['in its case', { table: 'public.Users' }, 'CREATE TABLE "Users" (id int PRIMARY KEY)', 'public."Users"'],
    [
      'in the case of its schema',
      { table: 'Shop.users' },
      'CREATE SCHEMA "Shop" CREATE TABLE users (id int)',
      '"Shop"."users"',
    ],
    ['in its schema', { table: 'users' }, 'CREATE SCHEMA shop CREATE TABLE users (id int)', 'shop.users'],
  ] as const)('one whose name differs from another only %s, which is proposed', async ([, change, ddl, meant]) => {
    const { url } = await prepare(ddl)
    expect(await onlyFinding(url, change)).toBe(`There is no table ${change.table}. Did you mean ${meant}?`)
  })

  test.for([
    ['a rule that does something else', 'CREATE RULE other AS ON UPDATE TO users DO ALSO NOTIFY changed'],
    ['a rule that does nothing instead', 'CREATE RULE other AS ON UPDATE TO users DO INSTEAD NOTHING'],
    ['a rule with a condition', 'CREATE RULE other AS ON UPDATE TO users WHERE new.id = 1 DO INSTEAD NOTHING'],
  ])('one with %s, until it is disabled', async ([, rule]) => {
    const database = await prepare(users, rule as string)
    const finding = await onlyFinding(database.url)
    expect(finding).toContain('"public"."users" has rules for UPDATE (other)')
    expect(finding).not.toContain('parameter')
    await database.query('ALTER TABLE users DISABLE RULE other')
    expect(await inspect(database.url)).toMatchObject({ table: 'users' })
  })

  test('a partition with a rule', async () => {
    const { url } = await prepare(
      'CREATE TABLE users (id int PRIMARY KEY, label text) PARTITION BY RANGE (id)',
      'CREATE TABLE users_1 PARTITION OF users DEFAULT',
      'CREATE RULE other AS ON UPDATE TO users_1 DO ALSO NOTIFY changed',
    )
    expect(await onlyFinding(url)).toContain('"public"."users_1" has rules for UPDATE (other)')
  })

  test('one that is published without a replica identity, with what Postgres advises and no more', async () => {
    const database = await prepare(
      'CREATE TABLE users (id int NOT NULL UNIQUE, label text)',
      'CREATE PUBLICATION changes FOR TABLE users',
    )
    const finding = await onlyFinding(database.url, { key: ['id'] })
    expect(finding).toContain('does not have a replica identity and publishes updates')
    expect(finding).toMatch(/ALTER TABLE\.$/)
    await database.query('ALTER TABLE users REPLICA IDENTITY FULL')
    expect(await inspect(database.url, { key: ['id'] })).toMatchObject({ table: 'users' })
  })

  test('one with inheritance children', async () => {
    const { url } = await prepare(users, 'CREATE TABLE old_users () INHERITS (users)')
    expect(await onlyFinding(url)).toContain('inheritance children')
  })

  test('a column of set that does not exist, with those that do', async () => {
    const { url } = await prepare(users)
    const finding = await onlyFinding(url, { set: { lable: sql`'x'` } })
    expect(finding).toContain('set names column lable, which does not exist: the table has id, name, label, visits.')
  })

  test('a system column', async () => {
    const { url } = await prepare(users)
    expect(await onlyFinding(url, { set: { ctid: sql`'(0,1)'` } })).toContain('ctid, which does not exist')
  })

  test.for([
    ['computed', 'ALTER TABLE users ADD COLUMN made text GENERATED ALWAYS AS (name) STORED'],
    ['an identity', 'ALTER TABLE users ADD COLUMN made int GENERATED ALWAYS AS IDENTITY'],
  ])('a column that is %s', async ([, ddl]) => {
    const { url } = await prepare(users, ddl as string)
    expect(await onlyFinding(url, { set: { made: sql`'1'` } })).toContain('made, which Postgres generates itself')
  })

  test('one without a primary key, when the job names no key', async () => {
    const { url } = await prepare('CREATE TABLE users (id bigint, label text)')
    expect(await onlyFinding(url)).toContain('no primary key')
  })

  test('a primary key of five columns', async () => {
    const { url } = await prepare(
      'CREATE TABLE users (a int, b int, c int, d int, e int, label text, PRIMARY KEY (a, b, c, d, e))',
    )
    expect(await onlyFinding(url)).toContain('Its primary key has 5 columns, and a key has at most four')
  })

  test('a key column that does not exist', async () => {
    const { url } = await prepare(users)
    expect(await onlyFinding(url, { key: ['id', 'tenant'] })).toContain(
      'key names tenant, which the table does not have',
    )
  })

  test('a key column that may be null: its rows would be left out', async () => {
    const { url } = await prepare('CREATE TABLE users (id bigint UNIQUE, label text)')
    expect(await onlyFinding(url, { key: ['id'] })).toContain('Key column id may be null')
  })

  test.skipIf(release < 18)(
    'a key column whose NOT NULL was never validated: there may be nulls all the same',
    async () => {
      const { url } = await prepare(
        'CREATE TABLE users (id bigint UNIQUE, label text)',
        'INSERT INTO users VALUES (1), (NULL)',
        'ALTER TABLE users ADD CONSTRAINT id_given NOT NULL id NOT VALID',
      )
      expect(await onlyFinding(url, { key: ['id'] })).toContain('Key column id may be null')
    },
  )

  test('a set that moves the key', async () => {
    const { url } = await prepare(users)
    expect(await onlyFinding(url, { set: { id: sql`id + 1` } })).toContain('set writes key column id')
  })

  const code = 'CREATE TABLE users (id bigint PRIMARY KEY, a text NOT NULL, b text COLLATE "C" NOT NULL, label text)'
  test.for<[string, string[], string, string[]]>([
    ['has no index', ['a'], 'No index is on exactly (a)', []],
    ['is only the beginning of an index', ['a'], 'No index is on exactly (a)', ['CREATE UNIQUE INDEX ON users (a, b)']],
    [
      'has its columns in another order',
      ['a', 'b'],
      'No index is on exactly (a, b)',
      ['CREATE UNIQUE INDEX ON users (b, a)'],
    ],
    ['has an index that is not unique', ['a'], 'is not unique', ['CREATE INDEX ON users (a)']],
    ['has a partial index', ['a'], 'is partial', ["CREATE UNIQUE INDEX ON users (a) WHERE label = 'x'"]],
    ['has an index on an expression', ['a'], 'is on an expression', ['CREATE UNIQUE INDEX ON users (a, lower(b))']],
    ['has a hash index', ['a'], 'is not a btree', ['CREATE INDEX ON users USING hash (a)']],
    [
      'has an index that ascends and descends',
      ['a', 'b'],
      'does not order its columns',
      ['CREATE UNIQUE INDEX ON users (a, b DESC)'],
    ],
    [
      'has an index with nulls on the other end',
      ['a'],
      'does not order its columns',
      ['CREATE UNIQUE INDEX ON users (a NULLS FIRST)'],
    ],
    [
      'has an index in another collation',
      ['b'],
      'does not order its columns',
      ['CREATE UNIQUE INDEX ON users (b COLLATE "en-x-icu")'],
    ],
    [
      'has an index for patterns',
      ['a'],
      'does not order its columns',
      ['CREATE UNIQUE INDEX ON users (a text_pattern_ops)'],
    ],
  ])('a key that %s', async ([, key, words, ddl]) => {
    const { url } = await prepare(code, ...ddl)
    const finding = await onlyFinding(url, { key: key as [string] })
    expect(finding).toContain(words)
    expect(finding).toContain(`CREATE UNIQUE INDEX CONCURRENTLY ON users (${key.join(', ')})`)
  })

  test('a key whose index was never finished', async () => {
    const database = await prepare(code, "INSERT INTO users VALUES (1, 'same', ''), (2, 'same', '')")
    await expect(database.query('CREATE UNIQUE INDEX CONCURRENTLY broken ON users (a)')).rejects.toThrow(
      'could not create',
    )
    expect(await onlyFinding(database.url, { key: ['a'] })).toContain('Index broken on (a) is not valid')
  })

  test('everything that is wrong at once', async () => {
    const { url } = await prepare(
      'CREATE TABLE users (id bigint, name text GENERATED ALWAYS AS (NULL) STORED)',
      'CREATE INDEX ON users (id)',
    )
    const found = await findings(url, { key: ['id'], set: { name: sql`''`, id: sql`1`, nowhere: sql`1` } })
    for (const words of [
      'name, which Postgres generates',
      'nowhere, which does not exist',
      'id may be null',
      'set writes key column id',
      'is not unique',
    ]) {
      expect(
        found.filter((finding) => finding.includes(words)),
        words,
      ).toHaveLength(1)
    }
    expect(found).toHaveLength(5)
  })
})

inDatabase('SQL that cannot run is refused with what Postgres says of it', () => {
  test.for<[string, Change, string]>([
    ['bad syntax in where', { where: sql`label IS IS NULL` }, 'syntax error'],
    ['a column in where that does not exist', { where: sql`lable IS NULL` }, 'column "lable" does not exist'],
    ['a column in set that does not exist', { set: { label: sql`nam` } }, 'column "nam" does not exist'],
    ['a value of the wrong type', { set: { visits: sql`name` } }, 'is of type integer but expression is of type text'],
    ['a where that is no condition', { where: sql`id + 1` }, 'boolean'],
    ['a parameter of the wrong type', { where: sql`id = ${'abc'}` }, 'invalid input syntax for type bigint: "abc"'],
    ['a parameter without a type', { where: sql`${1} IS NOT NULL` }, 'could not determine data type'],
    ['an aggregate', { set: { label: sql`max(name)` } }, 'aggregate functions are not allowed'],
    ['a table that does not exist', { where: sql`EXISTS (SELECT FROM nowhere)` }, 'relation "nowhere" does not exist'],
    ['a statement smuggled in', { where: sql`true) OR (SELECT 1` }, 'boolean'],
  ])('%s', async ([name, change, words]) => {
    const { url } = await prepare(users)
    const finding = await onlyFinding(url, change)
    expect(finding).toMatch(/^Postgres refuses (where|set\.\w+): /)
    expect(finding).toContain(words)
    expect(finding.includes('parameter')).toBe(/parameter/.test(name))
  })

  test('every value of set that is refused is told, and where too', async () => {
    const { url } = await prepare(users, 'ALTER TABLE users ADD at timestamptz')
    const set = { visits: sql`name`, at: sql`visits`, label: sql`nam`, name: sql`'fine'` }
    const found = await findings(url, { where: sql`label = 5`, set })
    expect(found.map((finding) => /^Postgres refuses (\S+):/.exec(finding)?.[1])).toEqual([
      'where',
      'set.visits',
      'set.at',
      'set.label',
    ])
    expect(found.join()).not.toContain('parameter')
  })

  test.for<[string, Change, string]>([
    ['a semicolon', { set: { label: sql`name;` } }, 'remove the ;'],
    ['a semicolon in where', { where: sql`label IS NULL;` }, 'remove the ;'],
    ['a text in double quotes', { where: sql`label = "open"` }, 'a text is written in single quotes'],
    ['another in set', { set: { label: sql`upper("open")` } }, 'a text is written in single quotes'],
    ['a function that is not there', { set: { label: sql`unaccented(name)` } }, 'write it with its schema'],
  ])('%s is told with what to do', async ([, change, advice]) => {
    const { url } = await prepare(users)
    expect(await onlyFinding(url, change)).toContain(advice)
  })

  test('a comment at the end of where or of a value is part of neither', async () => {
    const { url } = await prepare(users)
    const change = { where: sql`label IS NULL -- not yet`, set: { label: sql`'x' -- for now` } }
    expect(await inspect(url, change)).toMatchObject({ table: 'users' })
  })
})

inDatabase('rights', () => {
  test('SELECT and UPDATE are missed together, each with the GRANT it takes', async () => {
    const database = await prepare(users)
    const { role, url } = await createRole(database)
    await database.query(`GRANT USAGE ON SCHEMA evenkeel TO ${role}`)
    expect(await findings(url)).toEqual([
      expect.stringContaining('GRANT SELECT ON users'),
      expect.stringContaining('GRANT UPDATE (label) ON users'),
    ])
    await database.query(`GRANT SELECT ON users TO ${role}`)
    expect(await onlyFinding(url)).toContain('There is no right to write column label')
  })

  test('a schema that may not be used is as if its table were not there', async () => {
    const database = await prepare('CREATE SCHEMA hidden', 'CREATE TABLE hidden.users (id int PRIMARY KEY, label text)')
    const { url } = await createRole(database)
    expect(await onlyFinding(url, { table: 'hidden.users' })).toBe('There is no table hidden.users.')
  })

  test('a table that where reads and the role may not', async () => {
    const database = await prepare(users, 'CREATE TABLE secrets (id bigint PRIMARY KEY)')
    const { role, url } = await createRole(database)
    await database.query(`GRANT USAGE ON SCHEMA evenkeel TO ${role}`)
    await database.query(`GRANT ALL ON ALL TABLES IN SCHEMA evenkeel TO ${role}`)
    await database.query(`GRANT SELECT, UPDATE ON users TO ${role}`)
    expect(await onlyFinding(url, { where: sql`EXISTS (SELECT FROM secrets s WHERE s.id = users.id)` })).toContain(
      'permission denied for table secrets',
    )
  })

  test('row-level security that hides rows from this role', async () => {
    const database = await prepare(users, 'ALTER TABLE users ENABLE ROW LEVEL SECURITY')
    const { role, url } = await createRole(database)
    await database.query(`GRANT SELECT, UPDATE ON users TO ${role}`)
    expect(await findings(url)).toEqual([expect.stringContaining('Row-level security hides rows of users')])
    // It does not bind the owner.
    expect(await inspect(database.url)).toMatchObject({ table: 'users' })
  })
})

inDatabase('the plan of a window', () => {
  test('is an index range scan in key order, on plain and on partitioned tables', async () => {
    const { url } = await prepare(
      'CREATE TABLE users (id bigint, region int, label text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)',
      'CREATE TABLE users_1 PARTITION OF users FOR VALUES IN (1)',
      'CREATE TABLE users_2 PARTITION OF users DEFAULT',
    )
    expect(await inspect(url)).toMatchObject({ partitioned: true })
  })

  test('that would sort the table is refused, and says what it is instead', async () => {
    const { url } = await prepare('CREATE TABLE users (id bigint PRIMARY KEY, unordered int NOT NULL, label text)')
    const target = await inspect(url)
    const key = target.key.map((column) => ({ ...column, name: 'unordered', type: 'pg_catalog.int4' }))
    const fault = await explainWindow(await engineSession(url), tableSql({ ...target, key }))
    expect(fault).toContain('A window is not an index range scan but Limit over Sort over')
    expect(fault).toContain('unique btree index')
  })

  test('over a partition whose index is missing is refused', async () => {
    const { url } = await prepare(
      'CREATE TABLE users (id bigint NOT NULL, label text) PARTITION BY RANGE (id)',
      'CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (1) TO (100)',
      'CREATE TABLE users_2 PARTITION OF users DEFAULT',
      'CREATE UNIQUE INDEX only_above ON ONLY users (id)',
    )
    expect(await onlyFinding(url, { key: ['id'] })).toContain('is not valid')
  })
})

describe('a role with the least rights', () => {
  const job = () =>
    jobsFolder({
      'label.ts': jobSource({
        name: 'label',
        table: 'users',
        rest: "where: sql`label IS NULL`, set: { label: sql`'x'` }",
      }),
    })
  const filled = [users, 'INSERT INTO users SELECT generate_series(1, 1000)']

  async function runAs(database: TestDatabase, url: string): Promise<void> {
    expect(
      await database.value('SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname = $1', [new URL(url).username]),
    ).toBe(false)
    const client = await startInProcess({ ...database, url }, await job())
    const run = await client.reaches(await client.start('label'), ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: 1000, residual: 0 })
    expect(await database.query('SELECT DISTINCT label FROM users')).toEqual([{ label: 'x' }])
  }

  test('that may create in the database can do a whole run', async () => {
    const database = await createEmptyDatabase()
    for (const statement of filled) await database.query(statement)
    const { role, url } = await createRole(database)
    await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role}`)
    await database.query(`GRANT SELECT, UPDATE ON users TO ${role}`)
    await runAs(database, url)
  })

  test('that may create nothing but owns its schemas can do a whole run', async () => {
    const database = await createEmptyDatabase()
    for (const statement of filled) await database.query(statement)
    const { role, url } = await createRole(database)
    for (const schema of ['evenkeel', 'evenkeel_queue'])
      await database.query(`CREATE SCHEMA ${schema} AUTHORIZATION ${role}`)
    await database.query(`GRANT SELECT, UPDATE (label) ON users TO ${role}`)
    await runAs(database, url)
  })

  test('that has no rights at all is told over HTTP what it lacks', async () => {
    const database = await createEmptyDatabase()
    for (const statement of [...filled, 'CREATE SCHEMA hidden', 'CREATE TABLE hidden.users (id int PRIMARY KEY)'])
      await database.query(statement)
    const { role, url } = await createRole(database)
    await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role}`)
    const client = await startInProcess({ ...database, url }, await job())
    const { status, body } = await client.call<{ findings: string[] }>('POST', '/runs', { job: 'label' })
    expect(status).toBe(422)
    expect(body.findings).toEqual([
      expect.stringContaining('GRANT SELECT'),
      expect.stringContaining('GRANT UPDATE (label)'),
    ])
  })
})
