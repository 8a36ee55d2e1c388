import { assert, constantFrom, integer, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { segmentOf, segmentsBetween } from '../../src/signals/wal-file.ts'

const mebibyte = 1024 ** 2

/** The name of a segment, as Postgres makes it. */
function nameOf(timeline: number, segment: number, segmentBytes: number): string {
  const perLog = 2 ** 32 / segmentBytes
  const hex = (value: number) => value.toString(16).toUpperCase().padStart(8, '0')
  return `${hex(timeline)}${hex(Math.floor(segment / perLog))}${hex(segment % perLog)}`
}

describe('WAL files', () => {
  test('are counted through the logs', () => {
    expect(segmentOf('000000010000000000000003', 16 * mebibyte)).toBe(3)
    expect(segmentOf('0000000100000001000000FF', 16 * mebibyte)).toBe(511)
    expect(segmentOf('000000010000000200000001', 1024 * mebibyte)).toBe(9)
    expect(segmentOf('000000010000000000000003.00000028.backup', 16 * mebibyte)).toBe(3)
    expect(segmentOf('000000010000000000000003.partial', 16 * mebibyte)).toBe(3)
  })

  test('that are none have no number', () => {
    for (const name of ['00000002.history', '', 'xlogtemp.1', '000000010000000000000003x']) {
      expect(segmentOf(name, 16 * mebibyte), name).toBeNull()
    }
    expect(segmentsBetween('00000002.history', '000000020000000000000003', 16 * mebibyte)).toBeNull()
  })

  test('between the last archived and the current one are those to go', () => {
    expect(segmentsBetween('000000010000000000000003', '000000010000000000000004', 16 * mebibyte)).toBe(0)
    expect(segmentsBetween('000000010000000000000003', '000000010000000000000003', 16 * mebibyte)).toBe(0)
    expect(segmentsBetween('0000000100000000000000FE', '000000010000000100000001', 16 * mebibyte)).toBe(2)
  })

  test('go on counting over a change of timeline, at any size of segments', () => {
    assert(
      property(
        constantFrom(1, 16, 64, 1024),
        integer({ min: 0, max: 1_000_000 }),
        integer({ min: 1, max: 100_000 }),
        integer({ min: 1, max: 40 }),
        (size, first, distance, timeline) => {
          const bytes = size * mebibyte
          const last = nameOf(timeline, first, bytes)
          const current = nameOf(timeline + 1, first + distance, bytes)
          expect(segmentsBetween(last, current, bytes)).toBe(distance - 1)
        },
      ),
    )
  })
})
