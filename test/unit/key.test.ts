import { assert, constantFrom, integer, option, property, record, string } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type KeyShape, keepsOrder } from '../../src/core/range/key.ts'

/** Types by their oids. */
const types = {
  bigint: '20',
  smallint: '21',
  integer: '23',
  text: '25',
  bpchar: '1042',
  varchar: '1043',
  timestamp: '1114',
  numeric: '1700',
  uuid: '2950',
} as const

/** Length of a varchar as Postgres keeps it: four more. */
const length = (characters: number) => characters + 4

function shape(type: keyof typeof types, change: Partial<KeyShape> = {}): KeyShape {
  return { attnum: 1, typid: types[type], typmod: -1, collation: '0', locale: null, ...change }
}

const anyShape = record<KeyShape>({
  attnum: integer({ min: 1, max: 3 }),
  typid: constantFrom(...Object.values(types)),
  typmod: constantFrom(-1, length(10), length(20)),
  collation: constantFrom('0', '100'),
  locale: option(string()),
})

describe('a key column', () => {
  test('that is what it was keeps its order', () => {
    assert(
      property(anyShape, (before) => {
        expect(keepsOrder(before, { ...before })).toBe(true)
      }),
    )
  })

  test('that is another column of the same name, or has another collation, does not, whatever its type', () => {
    assert(
      property(anyShape, anyShape, (before, now) => {
        if (before.attnum !== now.attnum || before.collation !== now.collation)
          expect(keepsOrder(before, now)).toBe(false)
      }),
    )
    expect(keepsOrder(shape('text'), shape('text', { attnum: 2 }))).toBe(false)
    expect(keepsOrder(shape('text', { collation: '100' }), shape('text', { collation: '950' }))).toBe(false)
  })

  test('that is ordered by a locale does not keep it once the version of that is another', () => {
    const before = shape('text', { locale: 'de-AT 153.120' })
    expect(keepsOrder(before, { ...before, locale: 'de-AT 153.121' })).toBe(false)
    expect(keepsOrder(before, { ...before, locale: null })).toBe(false)
    // Where the order was no locale's, a version says nothing of it.
    expect(keepsOrder({ ...before, locale: null }, before)).toBe(true)
  })

  test.for([
    ['smallint', 'integer'],
    ['smallint', 'bigint'],
    ['integer', 'bigint'],
    ['bigint', 'integer'],
    ['integer', 'numeric'],
    ['bigint', 'numeric'],
    ['varchar', 'text'],
    ['text', 'varchar'],
  ] as const)('of %s that is made %s keeps it: its values are the same, and written the same', ([before, now]) => {
    expect(keepsOrder(shape(before), shape(now))).toBe(true)
  })

  test.for([
    ['numeric', 'bigint'], // a fraction would be rounded
    ['numeric', 'integer'],
    ['integer', 'text'], // 10 is before 9
    ['text', 'integer'],
    ['bpchar', 'text'], // the blanks at its end are gone
    ['text', 'uuid'],
    ['timestamp', 'text'],
    ['uuid', 'timestamp'],
  ] as const)('of %s that is made %s does not', ([before, now]) => {
    expect(keepsOrder(shape(before), shape(now))).toBe(false)
  })

  test('that may be longer than it was keeps it, and one that may be cut does not', () => {
    const varchar = (characters: number) => shape('varchar', { typmod: length(characters) })
    expect(keepsOrder(varchar(10), varchar(20))).toBe(true)
    expect(keepsOrder(varchar(10), shape('varchar'))).toBe(true)
    expect(keepsOrder(varchar(10), shape('text'))).toBe(true)
    expect(keepsOrder(varchar(20), varchar(10))).toBe(false)
    expect(keepsOrder(shape('varchar'), varchar(10))).toBe(false)
    expect(keepsOrder(shape('text'), varchar(10))).toBe(false)
  })

  test('of another type than varchar keeps it without a length, and with any other than its own does not', () => {
    const rounded = (typmod: number) => shape('numeric', { typmod })
    expect(keepsOrder(rounded(655_366), shape('numeric'))).toBe(true)
    expect(keepsOrder(rounded(655_366), rounded(786_438))).toBe(false)
    expect(keepsOrder(shape('numeric'), rounded(786_438))).toBe(false)
    expect(keepsOrder(shape('integer'), rounded(786_438))).toBe(false)
    expect(keepsOrder(shape('timestamp', { typmod: 3 }), shape('timestamp'))).toBe(true)
    expect(keepsOrder(shape('timestamp', { typmod: 3 }), shape('timestamp', { typmod: 6 }))).toBe(false)
  })
})
