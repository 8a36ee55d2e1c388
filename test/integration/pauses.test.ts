import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Run } from '../../src/client/openapi.ts'
import { createDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { type Client, jobSource, startInProcess, startOnDatabases } from '../support/service.ts'

interface All {
  readonly globalPause: { readonly actor: string; readonly reason: string | null } | null
  readonly databases?: readonly string[]
  readonly runs: readonly Run[]
  readonly refused: readonly unknown[]
}

const slowly = { options: { maxRowsPerSecond: 200, batchSize: 20 } }
const kinds = ({ pauses }: Run) => pauses.map(({ kind }) => kind)

async function start() {
  const database = await createDatabase()
  const jobs = await createItems(database, 2000)
  const client = await startInProcess(database, jobs)
  return { database, jobs, client }
}

const all = (client: Client, method: string, path: string, body?: unknown) => client.call<All>(method, path, body)

test('POST /resume gives back what POST /pause took, and nothing else', async () => {
  const { client, database } = await start()
  const own = await client.start('touch', slowly)
  const other = await client.start('count', slowly)
  await client.call('POST', `/runs/${own}/pause`, { reason: 'not before Monday' })
  const paused = (await all(client, 'POST', '/pause', { reason: 'deploy' })).body
  expect(paused.runs.map(({ id, status, reason }) => [id, status, reason])).toEqual([[other, 'paused', 'deploy']])
  const standing = (await all(client, 'GET', '/pause')).body
  expect(standing).toEqual({ globalPause: expect.objectContaining({ actor: 'local', reason: 'deploy' }) })

  const resumed = (await all(client, 'POST', '/resume')).body
  expect([resumed.globalPause, resumed.runs.map(({ id }) => id), resumed.refused]).toEqual([null, [other], []])
  expect((await all(client, 'GET', '/pause')).body).toEqual({ globalPause: null })
  const kept = await client.run(own)
  expect([kept.status, kept.reason, kinds(kept)]).toEqual(['paused', 'not before Monday', ['run']])
  await client.call('PATCH', `/runs/${other}`, { maxRowsPerSecond: null })
  await client.reaches(other, ['succeeded'])
  expect((await client.run(own)).status).toBe('paused')
  await client.call('PATCH', `/runs/${own}`, { maxRowsPerSecond: null })
  expect((await client.call('POST', `/runs/${own}/resume`)).body.pauses).toEqual([])
  await client.reaches(own, ['succeeded'])
  expect(await database.value('SELECT count(*)::int FROM evenkeel.pauses')).toBe(0)
})

test('an operator who pauses a run that is paused with everything keeps it paused', async () => {
  const { client } = await start()
  const id = await client.start('count', slowly)
  await all(client, 'POST', '/pause', { reason: 'deploy' })
  const both = await client.call('POST', `/runs/${id}/pause`, { reason: 'wait for Ada' })
  expect([both.status, both.body.reason, kinds(both.body)]).toEqual([200, 'wait for Ada', ['global', 'run']])
  expect((await client.call('POST', `/runs/${id}/pause`)).status).toBe(409)
  await all(client, 'POST', '/resume')
  const kept = await client.run(id)
  expect([kept.status, kept.reason, kept.throttle]).toEqual(['paused', 'wait for Ada', null])
  expect((await client.call('POST', `/runs/${id}/cancel`)).body).toMatchObject({ status: 'cancelled', pauses: [] })
})

test('a resume of a run lifts its own pauses, and says that everything is paused', async () => {
  const { client } = await start()
  const id = await client.start('count', slowly)
  await client.call('POST', `/runs/${id}/pause`, { reason: 'mine' })
  await all(client, 'POST', '/pause', { reason: 'deploy' })
  const lifted = await client.call('POST', `/runs/${id}/resume`)
  expect([lifted.status, lifted.body.status, kinds(lifted.body)]).toEqual([200, 'paused', ['global']])
  expect([lifted.body.reason, lifted.body.throttle?.signal]).toEqual(['deploy', 'global-pause'])
  expect(lifted.body.throttle?.reason).toContain('POST /resume lets them go on')
  const refused = await client.call<{ detail: string }>('POST', `/runs/${id}/resume`)
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining('POST /resume resumes them')])
  await all(client, 'POST', '/resume')
  await client.reaches(id, ['running'])
})

test('a run that is paused for its job stays so', async () => {
  const { client, jobs, database } = await start()
  const id = await client.start('touch', slowly)
  await client.reaches(id, ['running'])
  const set = 'where: sql`label IS NULL`, set: { label: sql`1`, touched: sql`touched + 1` }'
  await writeFile(join(jobs, 'touch.ts'), jobSource({ name: 'touch', table: 'items', rest: set }))
  expect(kinds(await client.reaches(id, ['paused']))).toEqual(['job'])
  await all(client, 'POST', '/pause')
  await all(client, 'POST', '/resume')
  const kept = await client.run(id)
  expect([kept.status, kinds(kept)]).toEqual(['paused', ['job']])
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  expect((await client.call('POST', `/runs/${id}/resume`, { acceptJobChange: true })).status).toBe(200)
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, 2000)
})

test('of several databases, each keeps its own reasons', async () => {
  const [eu, us] = [await createDatabase(), await createDatabase()]
  await createItems(us, 500)
  const client = await startOnDatabases({ eu, us }, await createItems(eu, 500))
  const id = await client.start('touch', slowly)
  await client.call('POST', `/runs/${id}/pause?database=us`, { reason: 'us is busy' })
  await all(client, 'POST', '/pause', { reason: 'deploy' })
  expect((await all(client, 'GET', '/pause')).body.databases).toEqual(['eu', 'us'])
  const paused = await client.run(id)
  expect(paused.pauses.map(({ kind, databases }) => [kind, databases])).toEqual([
    ['global', ['eu', 'us']],
    ['run', ['us']],
  ])
  await all(client, 'POST', '/resume')
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['running'])
  const resumed = await client.run(id)
  expect([resumed.databases?.us?.status, kinds(resumed)]).toEqual(['paused', ['run']])
  await client.call('POST', `/runs/${id}/resume`)
  await client.reaches(id, ['succeeded'])
})
