import pg from 'pg'
import { describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { release } from '../support/postgres.ts'
import { jobSource, jobsFolder, startInProcess } from '../support/service.ts'

test.for(['LATIN1', 'SQL_ASCII', 'EUC_JP'])(
  'a database in %s is refused at the start, and nothing is created in it',
  async (encoding) => {
    const admin = new pg.Client({ connectionString: inject('postgresUrl') })
    await admin.connect()
    const name = `text_${encoding.toLowerCase()}`
    const provider = release >= 15 ? 'LOCALE_PROVIDER libc' : ''
    await admin.query(
      `CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}' ${provider} LC_COLLATE 'C' LC_CTYPE 'C'`,
    )
    const url = new URL(inject('postgresUrl'))
    url.pathname = `/${name}`
    const there = new pg.Client({ connectionString: url.href })
    try {
      await expect(startInProcess({ url: url.href }, await jobsFolder({}))).rejects.toThrow(
        `Database ${name} is encoded in ${encoding}. evenkeel serves UTF8 only`,
      )
      await there.connect()
      expect((await there.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'evenkeel%'")).rows).toEqual([])
    } finally {
      await there.end()
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`)
      await admin.end()
    }
  },
)

describe('a brake takes effect whatever text comes with it', () => {
  const odd = `late\0r \ud83d ${'x'.repeat(2000)}`

  test('what cannot be kept of a reason is replaced, and the rest of a long one is cut', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 5000))
    const id = await client.start('count', { options: { maxRowsPerSecond: 100 } })
    const paused = await client.call('POST', `/runs/${id}/pause`, { reason: odd, more: 1 })
    expect([paused.status, paused.body.status]).toEqual([200, 'paused'])
    expect(paused.body.reason).toMatch(/^late\uFFFDr \uFFFD x+$/)
    expect(paused.body.reason).toHaveLength(1000)
    expect((await client.call('POST', `/runs/${id}/resume`, { reason: odd })).status).toBe(422)
    expect((await client.call('POST', `/runs/${id}/resume`)).status).toBe(200)
    const all = await client.call<{ globalPause: { reason: string } }>('POST', '/pause', { reason: odd })
    expect([all.status, all.body.globalPause.reason.slice(0, 8)]).toEqual([200, 'late\uFFFDr \uFFFD'])
    expect((await client.run(id)).status).toBe('paused')
    expect((await client.call('POST', `/runs/${id}/cancel`, { reason: null })).body.status).toBe('cancelled')
  })

  test('a worker pauses a run whose job file breaks in words that cannot be kept', async () => {
    const database = await createDatabase()
    await createItems(database, 5000)
    const job = (rest: string) =>
      jobSource({
        name: 'count',
        table: 'items',
        rest: `params: z.object({ a: z.any() }), ${rest} set: { touched: sql\`touched + 1\` }`,
      })
    const broken =
      "where: () => { if (globalThis.evenkeelBroken) throw new Error('odd \\0 \\ud83d'); return sql`touched = 0` },"
    const client = await startInProcess(database, await jobsFolder({ 'count.ts': job(broken) }))
    const id = await client.start('count', { params: { a: 1 }, options: { maxRowsPerSecond: 100 } })
    await client.reaches(id, ['running'])
    Object.assign(globalThis, { evenkeelBroken: true })
    try {
      const run = await client.reaches(id, ['paused'], 60)
      expect(run.reason).toContain('odd \uFFFD \uFFFD')
    } finally {
      Object.assign(globalThis, { evenkeelBroken: false })
    }
  })
})
