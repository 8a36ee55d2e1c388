import { expect, test } from 'vitest'
import { Acceptance, TicketsRefused } from '../../src/queue/acceptance.ts'
import { limitReports } from '../../src/queue/error-reports.ts'

test('while tickets are refused the queue is asked once a second, and the words are said once', async () => {
  const said: string[] = []
  const acceptance = new Acceptance(({ message }) => said.push(message))
  let asked = 0
  const offer = () =>
    acceptance.offer(() => {
      asked += 1
      return Promise.reject(Object.assign(new Error('OOM'), { name: 'ReplyError' }))
    })
  for (let time = 0; time < 50; time += 1) {
    const refused = await offer().catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(TicketsRefused)
    expect(refused).toMatchObject({ answered: true })
  }
  expect(asked).toBe(1)
  expect(said).toEqual([
    expect.stringMatching(/^The queue has taken no tickets since \S+: OOM\. It is tried again every second\.$/),
  ])
})

test('a queue that takes them again is asked each time', async () => {
  const acceptance = new Acceptance(() => undefined)
  expect(acceptance.isFresh).toBe(false)
  let asked = 0
  for (let time = 0; time < 3; time += 1) await acceptance.offer(async () => ++asked)
  expect(asked).toBe(3)
  expect(acceptance.isFresh).toBe(true)
})

test('the same words are passed on once a minute, and others beside them', () => {
  const said: string[] = []
  const report = limitReports(({ message }) => said.push(message))
  for (let time = 0; time < 100; time += 1) for (const words of ['READONLY', 'OOM']) report(new Error(words))
  expect(said).toEqual(['READONLY', 'OOM'])
})
