import { describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { blocks, type Call, callsIn, page } from '../support/pages.ts'
import { type Client, jobsFolder, queueKind, startInProcess, startOnDatabases } from '../support/service.ts'

/** The job that the README shows, and the table that it is about. */
async function createUsers(database: TestDatabase): Promise<void> {
  await database.query('CREATE TABLE users (id bigint PRIMARY KEY, first_name text, last_name text, full_name text)')
  await database.query("INSERT INTO users SELECT n, 'Ada', 'Lovelace' FROM generate_series(1, 1000) AS n")
  await database.query('ANALYZE users')
}

async function jobOfReadme(): Promise<string> {
  const job = blocks(await page('README.md'), 'ts').find((block) => block.includes("name: 'users-full-name'"))
  return jobsFolder({ 'users-full-name.ts': job as string })
}

async function expectAnswers(client: Client, calls: readonly Call[]): Promise<void> {
  expect(calls.length).toBeGreaterThan(0)
  for (const { method, path, headers, body } of calls) {
    const response = await fetch(new URL(path, client.url), {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    })
    expect(`${method} ${path}: ${response.status} ${response.ok ? '' : await response.text()}`).toMatch(/: 20[01] $/)
  }
}

describe.runIf(queueKind === 'postgres')('the commands of a page do what it says', () => {
  test.for([
    ['README.md', false],
    ['docs/pace.md', true],
    ['docs/space.md', false],
  ] as const)('%s', async ([name, needsRun]) => {
    const database = await createDatabase()
    await createUsers(database)
    const client = await startInProcess(database, await jobOfReadme())
    // A run that is over by the next command could not be paused.
    await client.call('POST', '/pause', {})
    if (needsRun) await client.start('users-full-name')
    await expectAnswers(client, await callsIn(name))
    await client.call('POST', '/resume', {})
    // The page on pace has the run wait for vacuum, and autovacuum may take a minute to come.
    const vacuum = setInterval(() => void database.query('VACUUM users').catch(() => undefined), 1000)
    await client.reaches('users-full-name-1', ['succeeded']).finally(() => clearInterval(vacuum))
    expect(await database.value('SELECT count(*)::int FROM users WHERE full_name IS NULL')).toBe(0)
  })

  test('docs/databases.md', async () => {
    const shards = { eu: await createDatabase(), us: await createDatabase() }
    for (const shard of Object.values(shards)) await createUsers(shard)
    const client = await startOnDatabases(shards, await jobOfReadme())
    for (const shard of Object.values(shards)) await shard.query("SELECT setval('evenkeel.run_number', 11)")
    await client.call('POST', '/pause', {})
    await expectAnswers(client, await callsIn('docs/databases.md'))
    await client.call('POST', '/resume', {})
    await client.call('POST', '/runs/users-full-name-12/resume', {})
    await client.reaches('users-full-name-12', ['succeeded'])
    for (const shard of Object.values(shards)) {
      expect(await shard.value('SELECT count(*)::int FROM users WHERE full_name IS NULL')).toBe(0)
    }
  })
})
