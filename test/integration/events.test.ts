import { expect, test } from 'vitest'
import type { EventBody } from '../../src/cli/demo/client.ts'
import { createDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { startInProcess } from '../support/service.ts'

test('events are shown as they were written; those of another release do not keep them from being shown', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
  const id = await client.start('touch')
  await client.call('PATCH', `/runs/${id}`, { parallelism: 3 })
  await client.call('POST', `/runs/${id}/overrides`, { signal: 'slots', reason: 'a slot of a test', seconds: 60 })
  await client.call('DELETE', `/runs/${id}/overrides/slots`)
  await client.call('POST', `/runs/${id}/pause`, { reason: 'deploy' })
  await database.query(
    `INSERT INTO evenkeel.events (run_id, actor, kind, detail)
     VALUES ($1, 'other', 'undo', '{"rows": 3}'), ($1, 'other', 'held', '{"why": "lag"}')`,
    [id],
  )
  await client.call('POST', `/runs/${id}/cancel`)
  const { body } = await client.call<{ events: EventBody[] }>('GET', `/runs/${id}/events`)
  expect(body.events.map(({ kind, detail }) => (kind === 'unknown' ? detail : kind))).toEqual([
    'created',
    'options',
    'override',
    'override-ended',
    'pause',
    'drained',
    { kind: 'undo', detail: { rows: 3 } },
    { kind: 'held', detail: { why: 'lag' } },
    'cancel',
    'drained',
  ])
})
