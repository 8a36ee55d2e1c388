import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { createEmptyDatabase } from '../support/database.ts'
import { countCaught, layTraps } from '../support/hostile.ts'
import { jobSource, jobsFolder, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

/** Roles that go when the databases of the test have gone, and all in them. */
async function createRoles<const N extends readonly string[]>(names: N): Promise<{ [I in keyof N]: string }> {
  const admin = new pg.Client({ connectionString: inject('postgresUrl') })
  await admin.connect()
  const roles = names.map((name) => `${name}_${randomBytes(6).toString('hex')}`)
  for (const role of roles) await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'hostile'`)
  onTestFinished(async () => {
    await admin.query(`DROP ROLE ${roles.join(', ')}`)
    await admin.end()
  })
  return roles as { [I in keyof N]: string }
}

const touched = 'touched: sql`(touched OPERATOR(pg_catalog.+) 1)`'

/** Others may put something behind Postgres' own schema, or before it. */
test.for(['"$user", public', 'public, pg_catalog'])(
  'nothing that a stranger has put into public is called, on the search_path %s',
  async (path) => {
    const [role, stranger] = await createRoles(['worker', 'stranger'])
    const database = await createEmptyDatabase()
    for (const statement of [
      'CREATE SCHEMA app',
      'CREATE TABLE app.items (id bigint PRIMARY KEY, label text, divisor int NOT NULL, touched int NOT NULL DEFAULT 0)',
      'INSERT INTO app.items (id, divisor) SELECT n, n % 1900 FROM generate_series(1, 2000) n',
      'CREATE TABLE app.parts (a text, b int, touched int NOT NULL DEFAULT 0, PRIMARY KEY (b, a)) PARTITION BY LIST (b)',
      'CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES IN (1)',
      'CREATE TABLE app.parts_2 PARTITION OF app.parts FOR VALUES IN (2)',
      "INSERT INTO app.parts SELECT 'a' || n, 1 + n % 2 FROM generate_series(1, 600) n",
      'ANALYZE app.items, app.parts',
      `GRANT CREATE ON DATABASE ${database.name} TO ${role}`,
      `GRANT pg_monitor TO ${role}`,
      `GRANT USAGE ON SCHEMA app TO ${role}`,
      `GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA app TO ${role}`,
      `ALTER ROLE ${role} SET search_path = ${path}`,
    ])
      await database.query(statement)
    const holder = await database.session()
    await holder.query("BEGIN; SELECT FROM app.parts WHERE a IN ('a7', 'a8', 'a300') FOR UPDATE")
    await layTraps(database, stranger)

    const url = new URL(database.url)
    url.username = role
    url.password = 'hostile'
    const quotient = '(100 OPERATOR(pg_catalog./) divisor)::pg_catalog.text'
    const jobs = await jobsFolder({
      'items.ts': jobSource({
        name: 'items',
        table: 'app.items',
        rest: `where: sql\`label IS NULL\`, set: { label: sql\`${quotient}\`, ${touched} }`,
      }),
      'parts.ts': jobSource({ name: 'parts', table: 'app.parts', rest: `set: { ${touched} }` }),
    })
    const client = await startInProcess({ url: url.href }, jobs)
    const dry = { dryRun: true, options: { batchSize: 50 } }
    for (const job of ['items', 'parts']) expect((await client.call('POST', '/runs', { job, ...dry })).status).toBe(200)
    const parts = await client.start('parts', { options: { batchSize: 50 } })
    const options = { batchSize: 50, maxRowsPerSecond: 400, succeedWithQuarantined: true }
    const items = await client.start('items', { options })
    await until(
      'rows to be done',
      () => client.run(items),
      (run) => run.progress.rowsDone > 50,
    )
    await client.call('POST', `/runs/${items}/pause`, { reason: 'to see' })
    await client.reaches(items, ['paused'])
    await client.call('POST', `/runs/${items}/resume`)
    await client.call('PATCH', `/runs/${items}`, { maxRowsPerSecond: null })
    await until(
      'stragglers',
      () => client.run(parts),
      (run) => run.progress.stragglers > 0,
    )
    await holder.query('ROLLBACK')
    await client.reaches(parts, ['succeeded'])
    const run = await client.reaches(items, ['succeeded'])
    expect(run.progress).toMatchObject({ rowsDone: 1999, quarantined: 1 })
    expect((await client.call('GET', '/metrics')).status).toBe(200)
    expect((await client.call('GET', '/readyz')).status).toBe(200)
    await holder.query(`SET ROLE ${role}; SET search_path = ${path}; SELECT evenkeel.require_succeeded('items')`)
    expect(await countCaught(database)).toBe(0)
  },
)

test('what a stranger lays in the way catches what steps on it', async () => {
  const [stranger] = await createRoles(['stranger'])
  const database = await createEmptyDatabase()
  await layTraps(database, stranger)
  const victim = await database.session()
  await victim.query('BEGIN READ ONLY')
  await expect(victim.query('SELECT 1::float8 / 2::numeric')).rejects.toThrow(
    'caught: an operator of float8 and numeric',
  )
  await victim.query('ROLLBACK')
  await expect(victim.query('SELECT 1 + 2::float8')).rejects.toThrow('caught')
  expect(await countCaught(database)).toBe(2)
})
