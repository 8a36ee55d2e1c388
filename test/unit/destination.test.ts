import { expect, test } from 'vitest'
import { Destination } from '../../src/postgres/destination.ts'

test('sessions of the server that was reached before are no longer given out, and it is known since when', () => {
  const destination = new Destination()
  const [first, second, third] = [{}, {}, {}]
  destination.reached(first, 'one')
  destination.reached(second, 'one')
  expect([first, second].map((session) => destination.isCurrent(session))).toEqual([true, true])
  expect(destination.since).toBe(Number.NEGATIVE_INFINITY)
  const before = performance.now()
  destination.reached(third, 'two')
  expect([first, second, third].map((session) => destination.isCurrent(session))).toEqual([false, false, true])
  expect(destination.since).toBeGreaterThanOrEqual(before)
})

test('a server in doubt keeps none of its sessions, and those that begin later are no worse for it', async () => {
  const destination = new Destination()
  const [first, second] = [{}, {}]
  destination.reached(first, 'one')
  destination.doubt()
  expect(destination.isCurrent(first)).toBe(false)
  destination.reached(second, 'one')
  destination.doubt()
  expect(destination.isCurrent(second)).toBe(true)
})

test('a session has a lifetime', () => {
  const destination = new Destination(0)
  const session = {}
  destination.reached(session, 'one')
  expect(destination.isCurrent(session)).toBe(false)
})

test('who listens hears of each move, and not of the first server', () => {
  const destination = new Destination()
  let moves = 0
  const end = destination.onMoved(() => {
    moves += 1
  })
  for (const server of ['one', 'one', 'two', 'one']) destination.reached({}, server)
  expect(moves).toBe(2)
  end()
  destination.reached({}, 'two')
  expect(moves).toBe(2)
})
