import { randomBytes } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createPool } from '../../src/postgres/pool.ts'
import { takeSession } from '../../src/postgres/takeout.ts'
import { createDatabase, createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { jobSource, jobsFolder, startInProcess } from '../support/service.ts'

interface Told {
  readonly detail: string
  readonly findings: readonly string[]
}

/** A role of the test's own that may work in its database. */
async function createRole(database: TestDatabase): Promise<{ role: string; url: string }> {
  const role = `author_${randomBytes(6).toString('hex')}`
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'author'`)
  onTestFinished(async () => {
    await database.query(`DROP OWNED BY ${role} CASCADE`)
    await database.query(`DROP ROLE ${role}`)
  })
  await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role}`)
  await database.query(`GRANT pg_monitor TO ${role}`)
  await database.query(`GRANT USAGE ON SCHEMA public TO ${role}`)
  const url = new URL(database.url)
  url.username = role
  url.password = 'author'
  return { role, url: url.href }
}

describe('a role that is called like the control schema', () => {
  async function prepare() {
    const database = await createEmptyDatabase()
    await database.query('CREATE TABLE users (id int PRIMARY KEY, name text, logins int)')
    await database.query('CREATE TABLE events (id int PRIMARY KEY, actor text NOT NULL, kind text NOT NULL)')
    await database.query("INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 20) n")
    await database.query("INSERT INTO events SELECT n, 'u' || 1 + n % 20, 'login' FROM generate_series(1, 200) n")
    const { role, url } = await createRole(database)
    await database.query(`GRANT SELECT, UPDATE ON users, events TO ${role}`)
    const definitions = [
      [
        'logins',
        'users',
        'where: sql`logins IS NULL`, set: { logins: sql`(SELECT count(*) FROM events WHERE actor = users.name)` }',
      ],
      ['marked', 'events', "where: sql`kind <> 'seen'`, set: { kind: sql`'seen'` }"],
      ['control', `${role}.events`, "where: sql`kind <> 'seen'`, set: { kind: sql`'seen'` }"],
      ['queue', `${role}_queue.own`, 'where: sql`a IS NULL`, set: { a: sql`1` }'],
    ] as const
    const jobs = await jobsFolder(
      Object.fromEntries(definitions.map(([name, table, rest]) => [`${name}.ts`, jobSource({ name, table, rest })])),
    )
    const client = await startInProcess({ url }, jobs, { CONTROL_SCHEMA: role })
    return { database, role, client }
  }

  test('names of a job lead to the tables of the application', async () => {
    const { database, role, client } = await prepare()
    await client.reaches(await client.start('logins'), ['succeeded'])
    expect(await database.query('SELECT DISTINCT logins FROM users')).toEqual([{ logins: 10 }])
    await client.reaches(await client.start('marked'), ['succeeded'])
    expect(await database.value("SELECT count(*)::int FROM events WHERE kind = 'seen'")).toBe(200)
    expect(await database.value(`SELECT count(*)::int FROM "${role}".events WHERE kind = 'seen'`)).toBe(0)
  })

  test('a job on a table of evenkeel itself is refused in words', async () => {
    const { database, role, client } = await prepare()
    const refused = await client.call<Told>('POST', '/runs', { job: 'control' })
    expect(refused.status).toBe(422)
    expect(refused.body.detail).toContain(`"${role}"."events", a table of evenkeel itself`)
    await database.query(`CREATE SCHEMA IF NOT EXISTS ${role}_queue`)
    await database.query(`CREATE TABLE ${role}_queue.own (id int PRIMARY KEY, a int)`)
    await database.query(`GRANT ALL ON SCHEMA ${role}_queue TO ${role}`)
    await database.query(`GRANT SELECT, UPDATE ON ${role}_queue.own TO ${role}`)
    const dry = await client.call<Told>('POST', '/runs', { job: 'queue', dryRun: true })
    expect(dry.status).toBe(422)
    expect(dry.body.detail).toContain('a table of evenkeel itself')
  })
})

describe('the SQL of a job', () => {
  test('takes its backslashes from the file', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE phones (id int PRIMARY KEY, phone text, digits text, magic bytea)')
    await database.query("INSERT INTO phones VALUES (1, '555 123'), (2, '5551234'), (3, 'ddd')")
    const rest =
      "where: sql`digits IS NULL AND phone ~ '^[\\d\\s]+$'`, set: { digits: sql`regexp_replace(phone, '\\s+', '')`, magic: sql`'\\xDEADBEEF'::bytea` }"
    const jobs = await jobsFolder({ 'phones.ts': jobSource({ name: 'phones', table: 'phones', rest }) })
    const client = await startInProcess(database, jobs)
    await client.reaches(await client.start('phones'), ['succeeded'])
    expect(await database.query("SELECT digits, encode(magic, 'hex') AS magic FROM phones ORDER BY id")).toEqual([
      { digits: '555123', magic: 'deadbeef' },
      { digits: '5551234', magic: 'deadbeef' },
      { digits: null, magic: null },
    ])
  })

  test('with more values than a statement takes is refused, and told to bind an array', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE t (id int PRIMARY KEY, mark int)')
    const list = 'Array.from({ length: 70000 }, (_, id) => id).reduce((all, id) => sql`${all}, ${id}`, sql`0`)'
    const rest = `where: () => sql\`id IN (\${${list}}) AND mark IS NULL\`, set: { mark: sql\`1\` }`
    const jobs = await jobsFolder({ 'many.ts': jobSource({ name: 'many', table: 't', rest }) })
    const client = await startInProcess(database, jobs)
    for (const dryRun of [false, true]) {
      const { status, body } = await client.call<Told>('POST', '/runs', { job: 'many', dryRun })
      expect(status).toBe(422)
      expect(body.detail).toContain('bind one array')
    }
  })
})

describe('settings of the database and the role', () => {
  const columns = {
    day: 'at::date::text',
    label: 'at::text',
    typed: "to_char('10/11/01'::date, 'YYYY-MM-DD')",
    spans: 'span::text',
    bytes: 'raw::text',
    number: 'precise::text',
  }

  test.for([
    ['America/New_York', 'SQL, DMY', 'iso_8601', 'escape', '0'],
    ['Asia/Tokyo', 'German', 'sql_standard', 'hex', '-3'],
    ['Europe/Vienna', 'Postgres, DMY', 'postgres_verbose', 'escape', '1'],
  ] as const)('mean in a run what they mean in psql: %s, %s', async ([zone, style, intervals, bytes, digits]) => {
    const database = await createDatabase()
    const texts = Object.keys(columns).map((name) => `${name} text`)
    await database.query(
      `CREATE TABLE t (id int PRIMARY KEY, at timestamptz, span interval, raw bytea, precise float8, ${texts.join(', ')})`,
    )
    await database.query(`INSERT INTO t SELECT n, '2026-03-01 01:30+00'::timestamptz + n * interval '7 hours',
      n * interval '-1 day 2 hours', '\\x0041ff'::bytea, n / 3.0::float8 FROM generate_series(1, 30) n`)
    for (const setting of [
      `timezone = '${zone}'`,
      `datestyle = '${style}'`,
      `intervalstyle = '${intervals}'`,
      `bytea_output = '${bytes}'`,
      `extra_float_digits = ${digits}`,
    ])
      await database.query(`ALTER DATABASE ${database.name} SET ${setting}`)
    const psql = await database.session()
    const expected = await psql.query(
      `SELECT id, ${Object.entries(columns).map(([name, text]) => `${text} AS ${name}`)} FROM t ORDER BY id`,
    )
    const set = Object.entries(columns).map(([name, text]) => `${name}: sql\`${text}\``)
    const rest = `where: sql\`label IS NULL\`, set: { ${set.join(', ')} }`
    const jobs = await jobsFolder({ 'texts.ts': jobSource({ name: 'texts', table: 't', rest }) })
    const client = await startInProcess(database, jobs)
    const dry = await client.call<{ samples: { after: object }[]; warnings: string[] }>('POST', '/runs', {
      job: 'texts',
      dryRun: true,
    })
    expect(dry.body.samples[0]?.after).toMatchObject({ ...expected.rows[0], id: '1' })
    expect(dry.body.warnings.filter((warning) => /is .* in this run/.test(warning))).toEqual([])
    await client.reaches(await client.start('texts'), ['succeeded'])
    expect(await database.query(`SELECT id, ${Object.keys(columns)} FROM t ORDER BY id`)).toEqual(expected.rows)
  })

  test('that would make a key inexact stay what they are, and this is told', async () => {
    const database = await createDatabase()
    await database.query(`CREATE TABLE t (at timestamptz, span interval, part float8, list date[], touched int NOT NULL DEFAULT 0,
      PRIMARY KEY (at, span, part, list))`)
    await database.query(`INSERT INTO t SELECT '2026-03-01 01:30:00.123456+00'::timestamptz + n * interval '7 hours',
      n % 5 * interval '1 mon -1 day', n / 3.0::float8, ARRAY['2026-01-02'::date + n, NULL] FROM generate_series(1, 400) n`)
    // Under these the zone of a time is written as CST, which is read as another.
    for (const setting of [
      "timezone = 'Asia/Shanghai'",
      "datestyle = 'SQL, DMY'",
      "intervalstyle = 'sql_standard'",
      'extra_float_digits = -10',
      'array_nulls = off',
    ])
      await database.query(`ALTER DATABASE ${database.name} SET ${setting}`)
    const source = jobSource({ name: 'touch', table: 't', rest: 'set: { touched: sql`touched + 1` }' })
    const client = await startInProcess(database, await jobsFolder({ 'touch.ts': source }))
    const holder = await database.session()
    await holder.query('BEGIN')
    await holder.query('SELECT 1 FROM t WHERE part * 3 BETWEEN 100 AND 103 FOR UPDATE')
    const dry = await client.call<{ warnings: string[] }>('POST', '/runs', { job: 'touch', dryRun: true })
    const told = ['DateStyle is ISO, DMY', 'IntervalStyle is postgres', 'extra_float_digits is 1', 'array_nulls is on']
    expect(dry.body.warnings).toEqual(expect.arrayContaining(told.map((words) => expect.stringContaining(words))))
    const id = await client.start('touch', { options: { batchSize: 7 } })
    await holder.query('ROLLBACK')
    await client.reaches(id, ['succeeded'])
    expect(await database.query('SELECT touched, count(*)::int FROM t GROUP BY 1')).toEqual([
      { touched: 1, count: 400 },
    ])
    const [event] = await database.query<{ detail: Told }>(
      "SELECT detail FROM evenkeel.events WHERE run_id = $1 AND kind = 'created'",
      [id],
    )
    expect(event?.detail.findings).toEqual(expect.arrayContaining(told.map((words) => expect.stringContaining(words))))
  })
})

describe('keys of types that an extension has in a schema of its own', () => {
  async function prepare(key: string, insert: string) {
    const database = await createDatabase()
    await database.query('CREATE SCHEMA extensions')
    await database.query('CREATE EXTENSION citext SCHEMA extensions')
    await database.query('CREATE EXTENSION ltree SCHEMA extensions')
    await database.query(
      `CREATE TABLE t (tenant int NOT NULL, email extensions.citext, path extensions.ltree, touched int NOT NULL DEFAULT 0, PRIMARY KEY (${key}))`,
    )
    await database.query(`INSERT INTO t (tenant, email, path) ${insert}`)
    await database.query('ANALYZE t')
    const rest = 'set: { touched: sql`touched + 1` }'
    const jobs = await jobsFolder({ 'touch.ts': jobSource({ name: 'touch', table: 't', rest }) })
    return { database, client: await startInProcess(database, jobs) }
  }
  // In the order of text capitals stand before or after all others, in that of citext among them.
  const emails = "CASE WHEN n % 2 = 0 THEN 'USER' ELSE 'user' END || lpad(n::text, 4, '0')"
  const rows = `SELECT n % 3, ${emails}, 'a.b' || n FROM generate_series(1, 300) n`
  const once = [{ touched: 1, count: 300 }]

  test.for(['email', 'path', 'path, email'])('are compared by the operators of their index: (%s)', async (key) => {
    const { database, client } = await prepare(key, rows.replace("'a.b' || n", "('a.b' || n)::extensions.ltree"))
    const id = await client.start('touch', { options: { batchSize: 10 } })
    await client.reaches(id, ['succeeded'])
    expect(await database.query('SELECT touched, count(*)::int FROM t GROUP BY 1')).toEqual(once)
  })

  test('beside one of Postgres’ own need the search_path, and this is said', async () => {
    const { database, client } = await prepare('tenant, email', rows.replace("'a.b' || n", 'NULL'))
    const refused = await client.call<Told>('POST', '/runs', { job: 'touch' })
    expect(refused.status).toBe(422)
    expect(refused.body.detail).toContain('ALTER ROLE … SET search_path')
    await database.query(`ALTER DATABASE ${database.name} SET search_path = public, extensions`)
    await client.reaches(await client.start('touch', { options: { batchSize: 10 } }), ['succeeded'])
    expect(await database.query('SELECT touched, count(*)::int FROM t GROUP BY 1')).toEqual(once)
  })
})

describe('a session that is taken', () => {
  test('has nothing of what was set in it before', async () => {
    const { url } = await createEmptyDatabase()
    const pool = createPool(url, {
      name: 'evenkeel engine',
      max: 1,
      settings: { plan_cache_mode: 'force_generic_plan' },
    })
    onTestFinished(() => pool.end())
    const show = async () => {
      const session = await takeSession(pool)
      const { rows } = await session.query(
        "SELECT pg_backend_pid() AS pid, current_setting('plan_cache_mode') AS plans, current_setting('search_path') AS path, current_setting('synchronous_commit') AS commits, current_setting('evenkeel.x', true) AS x",
      )
      return { session, shown: rows[0] }
    }
    const { session, shown } = await show()
    await session.query(
      "SET plan_cache_mode = 'force_custom_plan'; SET search_path = public; SET synchronous_commit = off; SET evenkeel.x = '1'",
    )
    session.release()
    const again = await show()
    again.session.release()
    expect({ ...again.shown, x: again.shown.x || null }).toEqual({ ...shown, x: null })
  })

  test('is not from before an ALTER ROLE … SET', async () => {
    const database = await createEmptyDatabase()
    const { role, url } = await createRole(database)
    const pool = createPool(url, { name: 'evenkeel engine', max: 1, settings: {} })
    onTestFinished(() => pool.end())
    const setting = async () => {
      const session = await takeSession(pool)
      try {
        return (await session.query("SELECT current_setting('app.user_id', true) AS id")).rows[0].id
      } finally {
        session.release()
      }
    }
    expect(await setting()).toBeNull()
    await database.query(`ALTER ROLE ${role} SET app.user_id = '7'`)
    expect(await setting()).toBe('7')
    await database.query(`ALTER ROLE ${role} IN DATABASE ${database.name} SET app.user_id = '8'`)
    expect(await setting()).toBe('8')
  })
})

test('a run that is retried has the settings that its role has been given since', async () => {
  const database = await createEmptyDatabase()
  await database.query('CREATE TABLE t (id int PRIMARY KEY, mark int, by int)')
  await database.query('INSERT INTO t SELECT generate_series(1, 20)')
  await database.query(`CREATE FUNCTION sign() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN new.by := current_setting('app.user_id')::int; RETURN new; END $$`)
  await database.query('CREATE TRIGGER sign BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION sign()')
  const { role, url } = await createRole(database)
  await database.query(`GRANT SELECT, UPDATE ON t TO ${role}`)
  const rest = 'where: sql`mark IS NULL`, set: { mark: sql`1` }'
  const jobs = await jobsFolder({ 'mark.ts': jobSource({ name: 'mark', table: 't', rest }) })
  const client = await startInProcess({ url }, jobs)
  const id = await client.start('mark', { options: { maxQuarantined: 0 } })
  await client.reaches(id, ['failed'])
  await database.query(`ALTER ROLE ${role} SET app.user_id = '7'`)
  expect((await client.call('POST', `/runs/${id}/retry`)).status).toBeLessThan(300)
  await client.reaches(id, ['succeeded'])
  expect(await database.query('SELECT DISTINCT by FROM t')).toEqual([{ by: 7 }])
})
