import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { type Client, jobSource, jobsFolder, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

interface Problem {
  readonly detail: string
  readonly run?: string
}

async function createTenants(database: TestDatabase): Promise<string> {
  await database.query('CREATE TABLE tenants (id int PRIMARY KEY, tenant int, label text)')
  await database.query('INSERT INTO tenants SELECT n, n % 10 FROM generate_series(1, 100) n')
  return jobsFolder({
    'fill.ts': jobSource({
      name: 'fill',
      table: 'tenants',
      rest: "params: z.object({ tenant: z.number() }), where: ({ tenant }) => sql`tenant = ${tenant} AND label IS NULL`, set: { label: sql`'x'` }",
    }),
  })
}

const done = async (client: Client, job: string, params: Record<string, unknown>) => {
  const id = await client.start(job, { params })
  await client.reaches(id, ['succeeded'])
  return id
}

test('the gate counts the last run of every set of parameters', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTenants(database))
  const gate = (...params: unknown[]) =>
    database.query(`SELECT evenkeel.require_succeeded('fill'${params.length > 0 ? ', $1' : ''})`, params)
  await expect(gate()).rejects.toThrow('never been run')
  const given = await client.start('fill', { params: { tenant: 1 }, options: { maxRowsPerSecond: 1 } })
  await client.call('POST', `/runs/${given}/cancel`)
  await done(client, 'fill', { tenant: 9 })
  await expect(gate()).rejects.toThrow(`its last run ${given} is cancelled (parameters {"tenant": 1})`)
  await gate('{"tenant": 9}')
  await expect(gate('{"tenant": 1}')).rejects.toThrow(given)
  await expect(gate('{"tenant": 5}')).rejects.toThrow('never been run with parameters {"tenant": 5}')
  await done(client, 'fill', { tenant: 1 })
  await gate()
  // A later run of the same set counts again, whatever came before it.
  const later = await client.start('fill', { params: { tenant: 9 }, options: { maxRowsPerSecond: 1 } })
  await client.call('POST', `/runs/${later}/cancel`)
  await expect(gate()).rejects.toThrow(later)
  await gate('{"tenant": 1}')
})

test('retention keeps what the gate counts', async () => {
  const database = await createDatabase()
  const jobs = await createTenants(database)
  const client = await startInProcess(database, jobs)
  const given = await client.start('fill', { params: { tenant: 1 }, options: { maxRowsPerSecond: 1 } })
  await client.call('POST', `/runs/${given}/cancel`)
  const gone = await done(client, 'fill', { tenant: 9 })
  const kept = await done(client, 'fill', { tenant: 9 })
  await client.service.close()
  await database.query("UPDATE evenkeel.runs SET ended_at = ended_at - interval '1 year'")
  const again = await startInProcess(database, jobs, { ROLE: 'api' })
  await until('the older run to be deleted', async () => (await again.call('GET', `/runs/${gone}`)).status === 404)
  expect((await again.run(kept)).status).toBe('succeeded')
  await expect(database.query("SELECT evenkeel.require_succeeded('fill')")).rejects.toThrow(given)
})

test('the role of a migration needs the two grants of the page, and can do nothing else with them', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 10))
  const role = `migrator_${randomBytes(6).toString('hex')}`
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'm'`)
  onTestFinished(async () => {
    await database.query(`DROP OWNED BY ${role} CASCADE`)
    await database.query(`DROP ROLE ${role}`)
  })
  const page = await readFile(new URL('../../docs/operating.md', import.meta.url), 'utf8')
  const grants = [...page.matchAll(/^(GRANT .* TO migrator;)/gm)].map(([, grant]) => String(grant))
  expect(grants).toHaveLength(2)
  for (const grant of grants) await database.query(grant.replaceAll('migrator', role))
  const session = await database.session()
  await session.query(`SET SESSION AUTHORIZATION ${role}`)
  // Names that the caller can lay in the way are not called.
  await session.query('CREATE TEMP TABLE runs (job text); SET search_path = pg_temp, public')
  const gate = (call: string) => session.query(`SELECT evenkeel.require_succeeded(${call})`)
  await expect(gate("'touch'")).rejects.toThrow('never been run')
  await client.reaches(await client.start('touch'), ['succeeded'])
  await gate("'touch'")
  await gate("'touch', '{}'")
  await expect(session.query('SELECT FROM evenkeel.runs')).rejects.toMatchObject({ code: '42501' })
  await expect(session.query("SELECT evenkeel.refuse_unfinished('touch', NULL)")).rejects.toMatchObject({
    code: '42501',
  })
})

test('a job without a predicate that has succeeded is not started again unasked', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 20))
  const first = await client.start('count')
  await client.reaches(first, ['succeeded'])
  const refused = await client.call<Problem>('POST', '/runs', { job: 'count' })
  expect([refused.status, refused.body.run]).toEqual([409, first])
  expect(refused.body.detail).toContain(`run ${first} has done every row`)
  const dry = await client.call<{ warnings: string[] }>('POST', '/runs', { job: 'count', dryRun: true })
  expect(dry.body.warnings[0]).toContain(`${first} has done every row`)
  await expectTouchedOnce(database, 20)
  await client.reaches(await client.start('count', { again: true }), ['succeeded'])
  expect(await database.value('SELECT min(touched) FROM items')).toBe(2)
  // With a predicate there is nothing that could be done twice.
  await client.reaches(await client.start('touch'), ['succeeded'])
  await client.reaches(await client.start('touch'), ['succeeded'])
})

test('a dry run tells which rows a run that was given up has done', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 2000))
  const given = await client.start('count', { options: { maxRowsPerSecond: 500, batchSize: 20 } })
  await until('rows to be done', async () => (await client.run(given)).progress.rowsDone > 0)
  await client.call('POST', `/runs/${given}/cancel`)
  const dry = await client.call<{ warnings: string[] }>('POST', '/runs', { job: 'count', dryRun: true })
  expect(dry.body.warnings[0]).toMatch(new RegExp(`${given} \\(cancelled\\) has done \\d+ rows`))
})
