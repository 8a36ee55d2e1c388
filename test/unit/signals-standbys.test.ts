import { describe, expect, test } from 'vitest'
import { replicaLag } from '../../src/signals/replica-lag.ts'
import { replicasMissing } from '../../src/signals/replicas-missing.ts'
import type { Standby } from '../../src/signals/replication.ts'
import { Standbys } from '../../src/signals/standbys.ts'

function standby(pid: number, name: string, replayed: bigint, replaySeconds: number | null = null): Standby {
  return { pid, name, replayed, replaySeconds }
}

/** Looks a second apart from now on, at a primary that writes a thousand bytes in each. */
class Looks {
  readonly standbys = new Standbys()
  readonly #began = Math.ceil(performance.now())
  #look = 0

  get position(): bigint {
    return 1_000_000n + BigInt(this.#look) * 1000n
  }

  next(streaming: readonly Standby[], expected: Readonly<Record<string, number>>): void {
    this.#look += 1
    this.standbys.observe(this.#began + this.#look * 1000, this.position, streaming, new Map(Object.entries(expected)))
  }
}

describe('standbys', () => {
  test('that nobody expects and that are not there are no reading', () => {
    const looks = new Looks()
    looks.next([], {})
    expect(looks.standbys.any).toBe(false)
  })

  test('lag by what the primary measured, where they are from before the first look', () => {
    const looks = new Looks()
    looks.next([standby(1, 'a', 5n, 3600)], { a: 1 })
    expect(replicaLag(looks.standbys)).toEqual({ signal: 'replica-lag', value: 3600, detail: 'standby a' })
    for (let look = 0; look < 10; look += 1) looks.next([standby(1, 'a', 5n, 2)], { a: 1 })
    expect(replicaLag(looks.standbys).value).toBeCloseTo(10)
    // Not where our own looks tell.
    looks.next([standby(1, 'a', looks.position, 3600)], { a: 1 })
    expect(replicaLag(looks.standbys).value).toBeLessThan(2)
  })

  test('that vanish lag on from where they were last seen', () => {
    const looks = new Looks()
    looks.next([standby(1, 'a', looks.position + 1000n)], { a: 1 })
    expect(replicaLag(looks.standbys).value).toBe(0)
    for (let look = 0; look < 20; look += 1) looks.next([], { a: 1 })
    expect(replicaLag(looks.standbys).value).toBeCloseTo(20, 1)
    expect(replicasMissing(looks.standbys)).toMatchObject({ value: 20, detail: 'standby a' })
    expect(looks.standbys.behind()).toMatchObject([{ bytes: 20_000, vanished: true }])
    looks.next([standby(2, 'a', looks.position + 1000n)], { a: 1 })
    expect(replicaLag(looks.standbys)).toMatchObject({ value: 0 })
    expect(replicasMissing(looks.standbys)).toMatchObject({ value: 0, detail: '1 standby' })
  })

  test('that reconnect between two looks have not vanished', () => {
    const looks = new Looks()
    looks.next([standby(1, 'a', 5n)], { a: 1 })
    looks.next([standby(2, 'a', looks.position + 1000n)], { a: 1 })
    expect(looks.standbys.behind()).toHaveLength(1)
    expect(replicaLag(looks.standbys).value).toBe(0)
  })

  test('of one name are told apart by their number, the furthest behind taken for the one that is gone', () => {
    const looks = new Looks()
    looks.next([standby(1, 'w', 1_000_500n), standby(2, 'w', 1_001_000n), standby(3, 'w', 1_001_000n)], { w: 3 })
    looks.next([standby(3, 'w', 1_002_000n)], { w: 3 })
    expect(replicasMissing(looks.standbys)).toMatchObject({ detail: '2 of the 3 standbys w', value: 1 })
    looks.next([standby(3, 'w', 1_003_000n), standby(4, 'w', 1_003_000n)], { w: 3 })
    expect(looks.standbys.behind().filter(({ vanished }) => vanished)).toMatchObject([{ bytes: 2500 }])
    expect(replicasMissing(looks.standbys)).toMatchObject({ detail: '1 of the 3 standbys w', value: 2 })
  })

  test('that were never seen are missed since they are expected, and their lag is unknown', () => {
    const looks = new Looks()
    looks.next([standby(1, 'a', 5n)], { a: 1 })
    for (let look = 0; look < 5; look += 1) looks.next([standby(1, 'a', 5n)], { a: 1, b: 1, c: 1 })
    expect(replicaLag(looks.standbys)).toMatchObject({
      value: null,
      detail: expect.stringMatching(/^standby b has not been seen streaming/),
    })
    expect(replicasMissing(looks.standbys)).toMatchObject({ value: 5, detail: 'standby b (and c)' })
  })

  test('that are no longer expected are forgotten, and begin anew if they are expected again', () => {
    const looks = new Looks()
    looks.next([standby(1, 'a', 5n)], { a: 1 })
    looks.next([], { a: 1 })
    looks.next([], {})
    expect(looks.standbys.any).toBe(false)
    for (let look = 0; look < 5; look += 1) looks.next([], {})
    looks.next([], { a: 1 })
    expect(replicasMissing(looks.standbys)).toMatchObject({ value: 1 })
  })
})
