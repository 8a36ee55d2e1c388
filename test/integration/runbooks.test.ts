import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { blocks, callsIn, page } from '../support/pages.ts'
import { jobsFolder, queueKind, startInProcess } from '../support/service.ts'

const runbooks = (await readdir(new URL('../../docs/runbooks', import.meta.url))).map((name) => `docs/runbooks/${name}`)

// Whoever reads them has been woken up: a command that does not work is worse than none.
describe.runIf(queueKind === 'postgres')('the commands of the runbooks', () => {
  test('are calls that the API has, with bodies that it takes', async () => {
    const { url } = await startInProcess(await createDatabase(), await jobsFolder({}))
    const document = (await (await fetch(new URL('/openapi.json', url))).json()) as { paths: Record<string, object> }
    // /metrics is not in the document: its one reader is Prometheus.
    const routes = Object.entries({ ...document.paths, '/metrics': { get: {} } }).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => new RegExp(`^${method} ${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`, 'i')),
    )
    for (const name of runbooks) {
      const calls = await callsIn(name)
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
