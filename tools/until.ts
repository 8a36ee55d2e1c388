import { setTimeout as sleep } from 'node:timers/promises'

/** So many times as long is waited on a machine that has much else to do: TEST_PATIENCE. */
export const patience = Number(process.env.TEST_PATIENCE || 1)

/**
 * Waits for a condition: asks until it is met, and returns what it gave. Throws, with the last answer, when it is not met
 * in time, which is longer where TEST_PATIENCE says so. A condition that throws is not met.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T> | T,
  met: (answer: T) => boolean = Boolean,
  seconds = 60,
): Promise<T> {
  const began = performance.now()
  let last: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (met(answer)) return answer
      last = answer
    } catch (error) {
      last = error
    }
    if (performance.now() > began + patience * seconds * 1000) {
      const shown = last instanceof Error ? last.message : JSON.stringify(last)
      throw new Error(`waited ${patience * seconds} s in vain for ${what}; last: ${shown}`)
    }
    // What takes longer than a moment anyway is not asked for as often: asking costs, too, and others test beside us.
    await sleep(Math.min(200, 20 + (performance.now() - began) / 10))
  }
}
