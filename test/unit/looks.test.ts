import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { Coalescer } from '../../src/util/coalescer.ts'

const apartMs = 40

// A look that never begins is waited for without end.
vi.setConfig({ testTimeout: 10_000 })

/** A look that each time tells which one it is, once it is let. */
function watched() {
  const looks = new Coalescer<number>(apartMs)
  const began: number[] = []
  const open: Array<{ finish(): void; fail(error: Error): void }> = []
  const ask = (key = 'a') =>
    looks.run(key, () => {
      const number = began.push(performance.now())
      return new Promise((resolve, reject) => open.push({ finish: () => resolve(number), fail: reject }))
    })
  const finish = async (number: number) => {
    while (!open[number - 1]) await turn()
    open[number - 1]?.finish()
  }
  return { ask, finish, began, open }
}

describe('looks that are shared', () => {
  test('the first who asks does not wait, however long nobody has asked', () => {
    const { ask, began } = watched()
    ask()
    expect(began).toHaveLength(1)
  })

  test('whoever asks while one is under way gets the next one, together with all others who do', async () => {
    const { ask, finish, began } = watched()
    const first = ask()
    const later = Array.from({ length: 50 }, () => ask())
    await finish(1)
    expect(await first).toBe(1)
    await finish(2)
    expect(new Set(await Promise.all(later))).toEqual(new Set([2]))
    expect(began).toHaveLength(2)
  })

  test('nobody gets a look that began before he asked', async () => {
    const { ask, finish } = watched()
    const first = ask()
    await finish(1)
    await first
    const second = ask()
    await finish(2)
    expect(await second).toBe(2)
  })

  test('two begin so long apart at least, however quick they are', async () => {
    const { ask, finish, began } = watched()
    for (let number = 1; number <= 5; number += 1) {
      const answer = ask()
      await finish(number)
      expect(await answer).toBe(number)
    }
    const gaps = began.slice(1).map((at, index) => at - (began[index] as number))
    // A timer may be a millisecond early.
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(apartMs - 1)
  })

  test('there is one at a time, however slow it is', async () => {
    const { ask, finish, began } = watched()
    const first = ask()
    const second = ask()
    const waited = performance.now() + 3 * apartMs
    while (performance.now() < waited) await turn()
    expect(began).toHaveLength(1)
    await finish(1)
    await finish(2)
    expect(await Promise.all([first, second])).toEqual([1, 2])
  })

  test('of different keys none waits for another', () => {
    const { ask, began } = watched()
    ask('a')
    ask('b')
    expect(began).toHaveLength(2)
  })

  test('one that fails fails for those who shared it, and for nobody else', async () => {
    const { ask, finish, open } = watched()
    const [first, second, third] = [ask(), ask(), ask()]
    open[0]?.fail(new Error('away'))
    await expect(first).rejects.toThrow('away')
    await finish(2)
    expect(await Promise.all([second, third])).toEqual([2, 2])
  })
})
