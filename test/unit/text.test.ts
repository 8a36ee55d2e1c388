import { array, assert, constantFrom, jsonValue, oneof, property, string, tuple } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { storable, storableJson } from '../../src/core/sql/text.ts'

const unit = constantFrom('a', '\0', '\ud83d', '\ude80', '🚀', '\ufffd', '"', '\\', 'é')
/** What JavaScript can hold, halves of surrogate pairs and NULs among it. */
const anyText = oneof(string({ unit: 'binary' }), string({ unit }))

/** What Postgres refuses in a text of UTF-8, and in JSON. */
const isKept = (text: string) => Buffer.from(text).toString() === text && !text.includes('\0')

describe('a text that Postgres can keep', () => {
  test('is as it was where there is nothing that it cannot keep', () => {
    for (const text of ['', 'größe 🚀', '\t\n\u0001', '\ufffd']) expect(storable(text)).toBe(text)
  })

  test('has a mark in the place of a NUL, and of half of a surrogate pair', () => {
    expect(storable('a\0b')).toBe('a\ufffdb')
    expect(storable('\ude80a\ud83d')).toBe('\ufffda\ufffd')
    // Half a pair, and behind it a whole one.
    expect(storable('\ud83d\ud83d\ude80')).toBe('\ufffd🚀')
  })

  test('can be kept, is as long as before, and stays as it is from then on', () => {
    assert(
      property(anyText, (text) => {
        const kept = storable(text)
        expect(isKept(kept)).toBe(true)
        expect(kept.length).toBe(text.length)
        expect(storable(kept)).toBe(kept)
        if (isKept(text)) expect(kept).toBe(text)
      }),
    )
  })
})

describe('JSON that Postgres can keep', () => {
  test('is the value, with each text in it as Postgres can keep it', () => {
    expect(JSON.parse(storableJson({ key: ['a\0', 1, null, { deep: '\ud83d' }], at: new Date(0) }))).toEqual({
      key: ['a\ufffd', 1, null, { deep: '\ufffd' }],
      at: '1970-01-01T00:00:00.000Z',
    })
  })

  test('is what JSON is where there is nothing to replace', () => {
    assert(
      property(jsonValue(), (value) => {
        const json = JSON.stringify(value)
        if (!/\\u(0000|d[89a-f])/i.test(json)) expect(storableJson(value)).toBe(json)
      }),
    )
  })

  test('has nothing in it that Postgres refuses, neither in values nor in the names of keys', () => {
    assert(
      property(array(tuple(anyText, anyText)), (entries) => {
        const kept = JSON.parse(storableJson({ deep: [Object.fromEntries(entries)] })) as {
          deep: Record<string, string>[]
        }
        for (const text of kept.deep.flatMap(Object.entries).flat()) expect(isKept(text)).toBe(true)
      }),
    )
  })
})
