import { array as arrayOf, assert, constantFrom, integer, oneof, property, string, tuple } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileSql, countValues, isSql, type Sql, type SqlValue, sql } from '../../src/core/sql/template.ts'

/** What JavaScript can hand over, whatever the types say. */
const unchecked = (value: unknown) => value as SqlValue

describe('sql``', () => {
  test('binds what stands in ${} and never splices it', () => {
    const injected = "'; DROP TABLE users; --"
    expect(compileSql(sql`name = ${injected}`, 1)).toEqual({ text: 'name = $1', values: [injected] })
  })

  test('numbers its parameters from the number it is given', () => {
    expect(compileSql(sql`a = ${'x'} AND b = ${'y'}`, 11)).toEqual({ text: 'a = $11 AND b = $12', values: ['x', 'y'] })
  })

  test('is plain text without values', () => {
    expect(compileSql(sql`a IS NULL`, 1)).toEqual({ text: 'a IS NULL', values: [] })
    expect(compileSql(sql``, 1)).toEqual({ text: '', values: [] })
  })

  test('is the text of the file: a backslash stays one', () => {
    const text = (piece: Sql) => compileSql(piece, 1).text
    expect(text(sql`phone ~ '^\d+$'`)).toBe(String.raw`phone ~ '^\d+$'`)
    expect(text(sql`'\xDEADBEEF'::bytea`)).toBe(String.raw`'\xDEADBEEF'::bytea`)
    // Escapes that JavaScript does not know, and would give as undefined.
    expect(text(sql`'\xzz \unicode \08'`)).toBe(String.raw`'\xzz \unicode \08'`)
    expect(text(sql`regexp_replace(a, '\s+', E'\n\\')`)).toBe(String.raw`regexp_replace(a, '\s+', E'\n\\')`)
    expect(text(sql`'\u0300-\u036f' ${1} '\D'`)).toBe(String.raw`'\u0300-\u036f' $1 '\D'`)
  })

  test('a backquote and a ${ are written with a backslash, which is the template’s', () => {
    const text = (piece: Sql) => compileSql(piece, 1).text
    expect(text(sql`'\`' || '\${x}'`)).toBe("'`' || '${x}'")
    // A backslash before either is written as two.
    expect(text(sql`'\\\`' || '\\\${x}'`)).toBe("'\\\\`' || '\\\\${x}'")
    expect(text(sql`'$\{'`)).toBe("'$\\{'")
  })

  test('takes parts that no template has made as they are', () => {
    const parts = ["a ~ '\\d' AND b = ", ''] as unknown as TemplateStringsArray
    expect(compileSql(sql(parts, 1), 1)).toEqual({ text: "a ~ '\\d' AND b = $1", values: ['1'] })
  })

  test('takes pieces nested however deep', () => {
    const list = Array.from({ length: 20_000 }, (_, id) => id).reduce((all, id) => sql`${all}, ${id}`, sql`0`)
    const { text, values } = compileSql(list, 1)
    expect(values).toHaveLength(20_000)
    expect(text.endsWith(', $19999, $20000')).toBe(true)
  })

  test('refuses a piece that doubles itself beyond what a statement holds', () => {
    const doubled = Array.from({ length: 60 }).reduce<Sql>(
      (piece) => sql`${piece}${piece}`,
      sql`${unchecked('x')} ${sql([' '.repeat(1_000_000)] as unknown as TemplateStringsArray)}`,
    )
    expect(() => compileSql(doubled, 1)).toThrow(/longer than/)
  })

  test('refuses an array that is deeper than Postgres takes one', () => {
    const nest = (depth: number) => Array.from({ length: depth }).reduce<SqlValue>((inner) => [inner], 1)
    expect(compileSql(sql`${nest(6)}`, 1).values).toEqual([[[[[[['1']]]]]]])
    expect(() => sql`${nest(7)}`).toThrow('6 dimensions')
    const endless: SqlValue[] = []
    endless.push(endless)
    expect(() => sql`${endless}`).toThrow('6 dimensions')
  })

  test('takes other pieces as text, and numbers their values in the order in which they stand', () => {
    const inner = sql`b = ${'second'}`
    const outer = sql`a = ${'first'} AND (${inner}) AND c = ${'third'}`
    expect(compileSql(outer, 5)).toEqual({
      text: 'a = $5 AND (b = $6) AND c = $7',
      values: ['first', 'second', 'third'],
    })
  })

  test('takes the same piece twice', () => {
    const piece = sql`x = ${1}`
    expect(compileSql(sql`${piece} OR ${piece}`, 1)).toEqual({ text: 'x = $1 OR x = $2', values: ['1', '1'] })
  })

  test('however it is nested, there are as many values as placeholders, in order', () => {
    const leaf = integer({ min: 0, max: 99 })
    const piece = arrayOf(oneof(leaf, constantFrom('plain')), { maxLength: 4 }).map((items) =>
      items.reduce<Sql>((made, item) => (item === 'plain' ? sql`${made} text ` : sql`${made} ${item},`), sql``),
    )
    const nested = tuple(piece, leaf, piece).map(([a, value, b]) => sql`(${a}) ${value}, (${sql`(${b})`})`)
    assert(
      property(nested, integer({ min: 1, max: 20 }), (made, first) => {
        const { text, values } = compileSql(made, first)
        const numbers = [...text.matchAll(/\$(\d+)/g)].map((match) => Number(match[1]))
        expect(numbers).toEqual(values.map((_, index) => first + index))
      }),
    )
  })

  test('whatever the string, it is bound as it is', () => {
    assert(
      property(string({ unit: 'binary' }), (text) => {
        expect(compileSql(sql`x = ${text}`, 1)).toEqual({ text: 'x = $1', values: [text] })
      }),
    )
  })

  test('binds bigints and numbers as text: not one digit is lost', () => {
    expect(compileSql(sql`${2n ** 63n - 1n} ${0.1} ${-0} ${1e21}`, 1).values).toEqual([
      '9223372036854775807',
      '0.1',
      '0',
      '1e+21',
    ])
  })

  test('binds a date as ISO 8601 in UTC, whatever the local zone', () => {
    expect(compileSql(sql`${new Date('2026-03-29T01:30:00.123+02:00')}`, 1).values).toEqual([
      '2026-03-28T23:30:00.123Z',
    ])
  })

  test('binds null, booleans, and arrays of what can be bound', () => {
    expect(compileSql(sql`${null} ${true} ${[1, 2n, 'x', null, [new Date(0)]]} ${[]}`, 1).values).toEqual([
      null,
      true,
      ['1', '2', 'x', null, ['1970-01-01T00:00:00.000Z']],
      [],
    ])
  })

  test('refuses undefined: a parameter that was misspelt is an error, not NULL', () => {
    expect(() => sql`x = ${unchecked(undefined)}`).toThrow('cannot bind undefined')
    expect(() => sql`x = ${unchecked([1, undefined])}`).toThrow('cannot bind undefined')
  })

  test.for([{}, { a: 1 }, new Map(), /x/, Buffer.from('x'), Promise.resolve(1)])('refuses the object %o', (value) => {
    expect(() => sql`x = ${unchecked(value)}`).toThrow('cannot bind an object')
  })

  test.for([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('refuses %d', (value) => {
    expect(() => sql`x = ${value}`).toThrow('not a finite number')
    expect(() => sql`x = ${[[value]]}`).toThrow('not a finite number')
  })

  test('refuses functions and symbols: their source is nobody’s value', () => {
    expect(() => sql`x = ${unchecked(() => 1)}`).toThrow('cannot bind a function')
    expect(() => sql`x = ${unchecked(Symbol('x'))}`).toThrow('cannot bind a symbol')
  })

  test('refuses a date that is none', () => {
    expect(() => sql`x > ${new Date('yesterday')}`).toThrow('not a valid date')
  })

  test('refuses a piece of SQL inside an array, where it could only be bound as an object', () => {
    expect(() => sql`x IN ${unchecked([sql`a`, sql`b`])}`).toThrow('inside an array')
  })

  test('knows its own pieces, also those of another copy of the module', () => {
    expect(isSql(sql`x`)).toBe(true)
    expect(isSql({ [Symbol.for('evenkeel.sql')]: true, parts: ['x'], values: [] })).toBe(true)
    for (const other of [null, undefined, 'x', { parts: ['x'], values: [] }]) expect(isSql(other)).toBe(false)
  })
})

describe('the values that a piece of SQL binds', () => {
  test('are counted one by one, those in arrays and in pieces within it as well', () => {
    expect(countValues(sql`a IS NULL`)).toBe(0)
    expect(countValues(sql`a = ${1} AND b = ${null}`)).toBe(2)
    expect(countValues(sql`a = ANY(${[1, 2, 3]})`)).toBe(3)
    expect(countValues(sql`a = ANY(${[]})`)).toBe(0)
    expect(countValues(sql`a = ${[[1, 2], [3]]} AND ${sql`b = ${'x'}`}`)).toBe(4)
  })

  test('in two pieces are those of both', () => {
    const piece = arrayOf(oneof(integer(), arrayOf(string(), { maxLength: 5 })), { maxLength: 5 }).map((values) => ({
      piece: values.reduce<Sql>((all, value) => sql`${all}, ${value}`, sql`0`),
      count: values.flat().length,
    }))
    assert(
      property(piece, piece, (one, two) => {
        expect(countValues(sql`${one.piece} AND ${two.piece}`)).toBe(one.count + two.count)
      }),
    )
  })
})
