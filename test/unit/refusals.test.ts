import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import { expect, test } from 'vitest'
import { Limits } from '../../src/api/plugins/limits.ts'

/** A caller who has used up what he may ask, and what his next call becomes. */
async function usedUp() {
  const limits = new Limits(1)
  const headers: Record<string, string> = {}
  const reply = { header: (name: string, value: string) => (headers[name] = value) } as unknown as FastifyReply
  const call = () => limits.countCall('ann', reply)
  await call()
  await call()
  return { call, headers }
}

test('whoever asks again at once, over and over, waits for each refusal', async () => {
  const { call, headers } = await usedUp()
  const began = performance.now()
  for (let i = 0; i < 4; i += 1) await expect(call()).rejects.toThrow('more than 1 calls a second')
  // A timer may be a millisecond early.
  expect(performance.now() - began).toBeGreaterThan(390)
  expect(headers['retry-after']).toBe('1')
})

test('refusals go out together, also those that came later', async () => {
  const { call } = await usedUp()
  let gone = 0
  const refused = async () => {
    await expect(call()).rejects.toThrow('Nothing was done')
    gone += 1
  }
  const first = refused()
  await turn()
  void refused()
  void refused()
  expect(gone).toBe(0)
  await first
  await turn()
  expect(gone).toBe(3)
})
