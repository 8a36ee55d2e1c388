import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { blocks, callsIn, page } from '../support/pages.ts'
import { jobsFolder, queueKind, startInProcess } from '../support/service.ts'

const runbooks = (await readdir(new URL('../../docs/runbooks', import.meta.url))).map((name) => `docs/runbooks/${name}`)

// Whoever reads them has been woken up: a command that does not work is worse than none.
describe.runIf(queueKind === 'postgres')('the commands of the runbooks', () => {
  test.for([
    ['with a token', 'of-nobody-else-at-all', 'you:operate:of-nobody-else-at-all'],
    ['where there are none', '', ''],
  ] as const)('are calls that the API has, with bodies that it takes, %s', async ([, TOKEN, API_TOKENS]) => {
    const client = await startInProcess(await createDatabase(), await jobsFolder({}), { API_TOKENS })
    const { url } = client
    const { body: document } = await client.call<{ paths: Record<string, object> }>('GET', '/openapi.json', undefined, {
      authorization: `Bearer ${TOKEN}`,
    })
    // /metrics is not in the document: its one reader is Prometheus.
    const routes = Object.entries({ ...document.paths, '/metrics': { get: {} } }).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => new RegExp(`^${method} ${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`, 'i')),
    )
    for (const name of runbooks) {
      const calls = await callsIn(name, { TOKEN })
      expect(calls.length, name).toBeGreaterThan(0)
      for (const { method, path, headers, body } of calls) {
        const address = new URL(path, url)
        const call = `${name}: ${method} ${path}`
        expect(
          routes.some((route) => route.test(`${method} ${address.pathname}`)),
          call,
        ).toBe(true)
        const response = await fetch(address, { method, headers, ...(body === undefined ? {} : { body }) })
        // A call is looked at before the run is looked for, and here there is none.
        const expected = address.pathname.startsWith('/runs/') ? 404 : 200
        expect(`${call}: ${response.status} ${await response.text()}`).toContain(`${call}: ${expected} `)
      }
    }
  })

  test('ask a worker in its container, where there is no curl', async () => {
    const { url } = await startInProcess(await createDatabase(), await jobsFolder({}), { ROLE: 'worker' })
    const asking = blocks(await page('docs/alerts.md'), 'sh')
      .join('')
      .match(/ node -e "([^"]+)"/)?.[1] as string
    const { stdout } = await promisify(execFile)(process.execPath, [
      '-e',
      asking.replace('http://127.0.0.1:3000', new URL(url).origin),
    ])
    expect(stdout).toMatch(/^200 \{.*"database"/)
  })

  test('are SQL that Postgres takes', async () => {
    const database = await createDatabase()
    await startInProcess(database, await jobsFolder({}))
    await database.query('CREATE TABLE users (id bigint PRIMARY KEY)')
    const refused: string[] = []
    for (const name of runbooks) {
      const text = await page(name)
      const inTables = [...text.matchAll(/`(SELECT [^`]* FROM [^`]*)`/g)].map(([, statement]) => statement as string)
      for (const statement of [...blocks(text, 'sql'), ...inTables]) {
        await database.query(statement).catch((error) => refused.push(`${name}: ${error.message}: ${statement}`))
      }
    }
    expect(refused).toEqual([])
  })
})
