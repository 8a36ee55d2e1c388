import { expect, test } from 'vitest'
import { eventKinds, readEvent } from '../../src/core/run/events.ts'
import { markedEvents } from '../../src/core/run/metrics-snapshot.ts'
import { runEvents } from '../../src/core/run/status.ts'

test('each kind of event is listed once', () => {
  expect(new Set(eventKinds).size).toBe(eventKinds.length)
  expect(eventKinds).toEqual(expect.arrayContaining([...runEvents, ...markedEvents, 'created']))
})

test.for([
  ['pause', { from: 'running', to: 'pausing', reason: 'deploy' }],
  ['fail', { from: 'running', to: 'failed', range: 3, sqlstate: '22012' }],
  ['held', { reason: 'lag', signal: 'of another release', value: null, limit: 5 }],
  ['options', { from: { parallelism: 2, gone: true }, to: { parallelism: 3 } }],
  ['partition-gone', { range: 1, partition: null }],
  ['released', { signal: 'slots', heldSeconds: 2, added: 'by a newer release' }],
] as const)('%s is read as it was written', ([kind, detail]) => {
  expect(readEvent(kind, detail)).toEqual({ kind, detail })
})

test.for([
  ['of another release', { any: 1 }],
  ['unknown', {}],
  ['held', {}],
  ['pause', { from: 'running', to: 'resting' }],
  ['rescued', null],
] as const)('%s with %j is passed on whole', ([kind, detail]) => {
  expect(readEvent(kind, detail)).toEqual({ kind: 'unknown', detail: { kind, detail } })
})
