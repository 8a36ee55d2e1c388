import { describe, expect, test } from 'vitest'
import type { Reading, SignalName } from '../../src/core/throttle/signal.ts'
import { Sample } from '../../src/signals/sample.ts'

/** A look that finds these, one after the other; an error is thrown, and a promise waited for. */
function lookThat(
  finds: ReadonlyArray<number | null | Error | Promise<never> | 'nothing'>,
  options: { intervalMs?: number; ofTables?: boolean } = {},
) {
  const errors: Array<[SignalName, unknown]> = []
  let next = 0
  const look = new Sample(
    {
      signals: ['slots'],
      intervalMs: options.intervalMs ?? 500,
      ofTables: options.ofTables ?? false,
      async read(): Promise<Array<Reading & { table?: string }>> {
        const found = finds[next++]
        if (found instanceof Error) throw found
        if (found instanceof Promise) return found
        if (found === 'nothing' || found === undefined) return []
        const reading = { signal: 'slots' as const, value: found, detail: 'slot a' }
        return [options.ofTables ? { ...reading, table: 'a' } : reading]
      },
    },
    (signal, error) => errors.push([signal, error]),
  )
  const taken = async (times: number) => {
    for (let time = 0; time < times; time += 1) await look.take()
    return look.measured(performance.now())[0]
  }
  return { look, taken, errors }
}

describe('a look', () => {
  test('is unknown before the first time', () => {
    expect(lookThat([]).look.measured(5)).toEqual([
      { signal: 'slots', value: null, worst: null, at: 5, detail: expect.stringMatching(/^has not been read yet/) },
    ])
  })

  test('gives the newest value, and the worst of the last three', async () => {
    const { taken } = lookThat([9, 3, 5, 1, 0])
    expect(await taken(1)).toMatchObject({ value: 9, worst: 9 })
    expect(await taken(2)).toMatchObject({ value: 5, worst: 9 })
    expect(await taken(1)).toMatchObject({ value: 1, worst: 5 })
    expect(await taken(1)).toMatchObject({ value: 0, worst: 5 })
  })

  test('is not known at its worst until three in a row were', async () => {
    const { taken } = lookThat([1, null, 1, 1, 1])
    expect(await taken(2)).toMatchObject({ value: null, worst: null })
    expect(await taken(2)).toMatchObject({ value: 1, worst: null })
    expect(await taken(1)).toMatchObject({ value: 1, worst: 1 })
  })

  test('that finds nothing has no reading, and none of what was before', async () => {
    const { taken } = lookThat([7, 'nothing', 1])
    expect(await taken(2)).toBeUndefined()
    expect(await taken(1)).toMatchObject({ value: 1, worst: 1 })
  })

  test('that fails is unknown with its cause, though there was nothing before, and says the same words once', async () => {
    const { taken, errors } = lookThat([
      'nothing',
      new Error('gone'),
      new Error('gone'),
      new Error('away'),
      1,
      new Error('gone'),
    ])
    expect(await taken(2)).toMatchObject({ value: null, worst: null, detail: 'cannot be read: gone' })
    expect(await taken(2)).toMatchObject({ detail: 'cannot be read: away' })
    expect(await taken(1)).toMatchObject({ value: 1, worst: null })
    await taken(1)
    expect(errors.map(([signal, error]) => [signal, (error as Error).message])).toEqual([
      ['slots', 'gone'],
      ['slots', 'away'],
      ['slots', 'gone'],
    ])
  })

  test('that is older than three intervals, or three seconds, is unknown', async () => {
    const { look } = lookThat([1, new Promise<never>(() => undefined)])
    await look.take()
    const { at } = look.measured(0)[0] as { at: number }
    expect(look.measured(at + 2900)).toMatchObject([{ value: 1, worst: 1 }])
    expect(look.measured(at + 4200)).toMatchObject([
      { value: null, worst: null, at, detail: expect.stringMatching(/^has not been read for 4 s: this process/) },
    ])
    void look.take()
    expect(look.measured(at + 4200)).toMatchObject([
      { value: null, detail: expect.stringMatching(/^has not been read for 4 s: the database does not answer/) },
    ])

    const slow = lookThat([1], { intervalMs: 2000 })
    await slow.look.take()
    const read = slow.look.measured(0)[0] as { at: number }
    expect(slow.look.measured(read.at + 5900)).toMatchObject([{ value: 1 }])
    expect(slow.look.measured(read.at + 6100)).toMatchObject([{ value: null }])
  })

  test('at tables is of the one asked for; of another, unknown', async () => {
    const { look } = lookThat([1, new Error('gone')], { ofTables: true })
    await look.take()
    expect(look.measured(performance.now())).toEqual([])
    expect(look.measured(performance.now(), 'a')).toMatchObject([{ value: 1 }])
    expect(look.measured(performance.now(), 'b')).toMatchObject([{ value: null }])
    await look.take()
    expect(look.measured(performance.now(), 'a')).toMatchObject([{ value: null, detail: 'cannot be read: gone' }])
    expect(look.measured(performance.now(), 'b')).toMatchObject([{ value: null, detail: 'cannot be read: gone' }])
  })
})
