import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { jobSource, jobsFolder, startInProcess, startOnDatabases } from '../support/service.ts'
import { until } from '../support/until.ts'

const rows = 3000

/** The statements of docs/operating.md, for this database and role. */
async function grantsOfThePage(database: TestDatabase, role: string): Promise<string[]> {
  const page = await readFile(new URL('../../docs/operating.md', import.meta.url), 'utf8')
  const block = /^```sql\n(GRANT.*?)^```$/ms.exec(page)?.[1] ?? ''
  return block
    .split('\n')
    .map((line) => line.replace(/--.*/, '').trim())
    .filter((line) => line !== '')
    .map((line) => line.replace('DATABASE app', `DATABASE ${database.name}`).replace('TO evenkeel', `TO ${role}`))
}

/** A table of somebody else's, and a role that has what the page says. */
async function prepare() {
  const database = await createEmptyDatabase()
  const role = `least_${randomBytes(6).toString('hex')}`
  await database.query('CREATE TABLE users (id int PRIMARY KEY, first_name text, full_name text, salary int)')
  await database.query("INSERT INTO users SELECT n, 'Ada', NULL, 100 FROM generate_series(1, $1::int) n", [rows])
  await database.query('CREATE TABLE others (id int PRIMARY KEY)')
  await database.query('ANALYZE users')
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'least'`)
  onTestFinished(async () => {
    await database.query(`DROP OWNED BY ${role} CASCADE`)
    await database.query(`DROP ROLE ${role}`)
  })
  const grants = await grantsOfThePage(database, role)
  expect(grants).toHaveLength(5)
  for (const grant of grants) await database.query(grant)
  const url = new URL(database.url)
  url.username = role
  url.password = 'least'
  const jobs = await jobsFolder({
    'fill.ts': jobSource({
      name: 'fill',
      table: 'users',
      paced: true,
      rest: 'where: sql`full_name IS NULL`, set: { full_name: sql`first_name` }',
    }),
  })
  return { database, role, url: url.href, jobs }
}

test('the rights of docs/operating.md are all that it takes: every call, every signal, a run to its proof', async () => {
  const { database, role, url, jobs } = await prepare()
  const first = await startInProcess({ url }, jobs)
  expect((await first.call('POST', '/runs', { job: 'fill', dryRun: true })).status).toBe(200)
  await first.service.close()
  // Once its schemas are there it need not be able to make any.
  await database.query(`REVOKE CREATE ON DATABASE ${database.name} FROM ${role}`)

  const client = await startInProcess({ url }, jobs, { DATABASE_CORES: '64' })
  const id = await client.start('fill', { options: { maxRowsPerSecond: 500 } })
  await until(
    'rows to be done',
    () => client.run(id),
    (run) => run.progress.rowsDone > 0,
  )
  expect((await client.call('POST', `/runs/${id}/pause`)).body.status).toBe('paused')
  expect((await client.call('POST', `/runs/${id}/resume`)).status).toBe(200)
  expect((await client.call('POST', '/pause')).status).toBe(200)
  expect((await client.call('POST', '/resume')).status).toBe(200)
  const override = { signal: 'commit-latency', reason: 'a test', seconds: 600 }
  expect((await client.call('POST', `/runs/${id}/overrides`, override)).status).toBe(200)
  expect((await client.call('DELETE', `/runs/${id}/overrides/commit-latency`)).status).toBe(200)
  for (const what of ['events', 'ranges']) expect((await client.call('GET', `/runs/${id}/${what}`)).status).toBe(200)
  expect((await client.call<unknown>('GET', '/readyz')).body).toEqual({ ready: true, database: 'ok', queue: 'ok' })
  // The probe is known only once it has been felt for a while.
  const signals = ['foreground', 'active', 'blocked', 'snapshot', 'dead-tuples', 'vacuum']
  await until(`${signals} to be known`, async () => {
    const { body } = await client.call<string>('GET', '/metrics')
    return signals.every((signal) => body.includes(`backfill_signal_known{signal="${signal}"} 1`))
  })
  expect((await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })).status).toBe(200)
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: rows, residual: 0 })
  const cancelled = await client.start('fill')
  expect((await client.call('POST', `/runs/${cancelled}/cancel`)).status).toBe(200)
})

test('they are enough in partitions, for rows that others hold, and for rows that fail by themselves', async () => {
  const { database, role, url, jobs } = await prepare()
  await database.query('CREATE TABLE orders (id int PRIMARY KEY, note text, label text) PARTITION BY RANGE (id)')
  await database.query('CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (1) TO (1001)')
  await database.query('CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (1001) TO (2001)')
  await database.query("INSERT INTO orders SELECT n, 'a note' FROM generate_series(1, 2000) n")
  await database.query('ALTER TABLE orders ADD CONSTRAINT sound CHECK (label IS NULL OR id NOT IN (500, 1500))')
  await database.query('ANALYZE orders')
  for (const table of ['orders', 'orders_1', 'orders_2']) {
    await database.query(`GRANT SELECT ON ${table} TO ${role}`)
    await database.query(`GRANT UPDATE (label) ON ${table} TO ${role}`)
  }
  const source = jobSource({
    name: 'label',
    table: 'orders',
    rest: 'where: sql`label IS NULL`, set: { label: sql`note` }',
  })
  await writeFile(join(jobs, 'label.ts'), source)
  const client = await startInProcess({ url }, jobs)
  const holder = await database.session()
  await holder.query('BEGIN; SELECT FROM orders WHERE id IN (10, 1010) FOR UPDATE')

  const id = await client.start('label', { options: { maxQuarantined: 1, batchSize: 100 } })
  expect((await client.reaches(id, ['failed'])).reason).toContain('fails by itself')
  expect((await client.call('PATCH', `/runs/${id}`, { maxQuarantined: 2 })).status).toBe(200)
  expect((await client.call('POST', `/runs/${id}/retry`)).status).toBe(200)
  await until(
    'two rows to be held, and two to be set aside',
    () => client.run(id),
    ({ progress }) => progress.stragglers === 2 && progress.quarantined === 2,
  )
  await holder.query('COMMIT')
  expect((await client.reaches(id, ['failed'])).reason).toContain('Every other row is done and checked, but 2 rows')
  const { body } = await client.call<{ rows: Array<{ id: string }> }>('GET', `/runs/${id}/quarantine`)
  const [first, second] = body.rows
  const given = { ids: [first?.id], reason: 'a test' }
  expect((await client.call('POST', `/runs/${id}/quarantine/discard`, given)).status).toBe(200)
  await database.query('ALTER TABLE orders DROP CONSTRAINT sound')
  expect((await client.call('POST', `/runs/${id}/quarantine/retry`, { ids: [second?.id] })).status).toBe(200)
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 1999, rowsScanned: 2000, quarantined: 0, discarded: 1, residual: 0 })
})

test('and they are rights to nothing else', async () => {
  const { database, url, jobs } = await prepare()
  const service = await startInProcess({ url }, jobs, { ROLE: 'api' })
  await service.service.close()
  const session = new pg.Client({ connectionString: url })
  await session.connect()
  onTestFinished(() => session.end())
  await session.query('UPDATE users SET full_name = NULL WHERE id = 1')
  for (const statement of [
    'UPDATE users SET salary = 0',
    'UPDATE users SET first_name = NULL',
    'INSERT INTO users VALUES (0)',
    'DELETE FROM users',
    'TRUNCATE users',
    'ALTER TABLE users DROP COLUMN salary',
    'DROP TABLE users',
    'CREATE INDEX ON users (salary)',
    'SELECT FROM others',
    'SELECT FROM pg_authid',
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    'ALTER SYSTEM SET work_mem = 64',
    `ALTER DATABASE ${database.name} SET work_mem = 64`,
    'CREATE ROLE another',
    'SET ROLE postgres',
  ]) {
    await expect(session.query(statement), statement).rejects.toMatchObject({ code: '42501' })
  }
})

test('each of them that is missing is named, with what to do', async () => {
  const { database, role, url, jobs } = await prepare()
  const without = async (revoke: string, grant: string, words: string, replicas = 'none') => {
    await database.query(`${revoke} FROM ${role}`)
    const client = await startInProcess({ url }, jobs, { ROLE: 'api', REPLICAS: replicas })
    const { status, body } = await client.call<{ detail: string }>('POST', '/runs', { job: 'fill' })
    expect([409, 422], body.detail).toContain(status)
    expect(body.detail).toContain(words)
    await client.service.close()
    await database.query(`${grant} TO ${role}`)
  }
  await database.query(`REVOKE CREATE ON DATABASE ${database.name} FROM ${role}`)
  await expect(startInProcess({ url }, jobs, { ROLE: 'api' })).rejects.toThrow(
    `permission denied for database ${database.name}. GRANT CREATE ON DATABASE "${database.name}" TO "${role}"; or create the schemas evenkeel and evenkeel_queue`,
  )
  await expect(startOnDatabases({ eu: { url } }, jobs, { ROLE: 'api' })).rejects.toThrow(
    `eu: permission denied for database ${database.name}. GRANT CREATE ON DATABASE`,
  )
  await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role}`)
  await without('REVOKE SELECT ON users', 'GRANT SELECT ON users', 'GRANT SELECT ON')
  await without('REVOKE UPDATE (full_name) ON users', 'GRANT UPDATE (full_name) ON users', 'GRANT UPDATE (full_name)')
  await without('REVOKE pg_monitor', 'GRANT pg_monitor', 'GRANT pg_monitor', 'auto')
  await database.query('REVOKE USAGE ON SCHEMA public FROM PUBLIC')
  await without('REVOKE USAGE ON SCHEMA public', 'GRANT USAGE ON SCHEMA public', 'GRANT USAGE on the schema')
})

test('one that is missing in the middle of a run, for a table that a trigger writes, is named as well', async () => {
  const { database, role, url, jobs } = await prepare()
  await database.query('CREATE TABLE log (id int)')
  await database.query(
    `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (NEW.id); RETURN NEW; END $$`,
  )
  await database.query('CREATE TRIGGER note BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION note()')
  await database.query(`GRANT INSERT ON log TO ${role}`)
  const client = await startInProcess({ url }, jobs)
  const id = await client.start('fill', { options: { maxRowsPerSecond: 500 } })
  await until('rows to be done', async () => (await client.run(id)).progress.rowsDone > 0)
  await database.query(`REVOKE INSERT ON log FROM ${role}`)
  const { reason } = await client.reaches(id, ['failed'])
  expect(reason).toContain('permission denied for table log [42501]')
  expect(reason).toContain(
    'GRANT the role that evenkeel connects as a right on table log: SELECT (to read it), INSERT or',
  )
  await database.query(`GRANT INSERT ON log TO ${role}`)
  await client.call('POST', `/runs/${id}/retry`)
  await client.reaches(id, ['succeeded'])
  expect(await database.value('SELECT count(*)::int FROM log')).toBe(rows)
})
