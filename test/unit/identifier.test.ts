import { assert, constantFrom, oneof, option, property, string } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import { parseTableName, quoteIdentifier, quoteLiteral, quoteTableName } from '../../src/core/sql/identifier.ts'

/** Any name Postgres allows: all but empty and NUL. */
const anyName = oneof(
  string({ unit: 'binary', minLength: 1, maxLength: 20 }).filter((name) => !name.includes('\0')),
  string({ unit: constantFrom('"', '.', ' ', 'a', 'A', '\\', "'", '$', '\n', '-'), minLength: 1, maxLength: 8 }),
)

describe('a table name', () => {
  test('quoted and read again is the same name, whatever stands in it', () => {
    assert(
      property(option(anyName), anyName, (schema, table) => {
        expect(parseTableName(quoteTableName({ schema, table }))).toEqual({ schema, table })
      }),
      { numRuns: 500 },
    )
  })

  test.for([
    ['users', { schema: null, table: 'users' }],
    ['public.users', { schema: 'public', table: 'users' }],
    ['Public.Users', { schema: 'public', table: 'users' }],
    ['"Public".Users', { schema: 'Public', table: 'users' }],
    ['"Odd S"."Odd ""T"""', { schema: 'Odd S', table: 'Odd "T"' }],
    ['"a.b"."c"', { schema: 'a.b', table: 'c' }],
    [' public . users ', { schema: 'public', table: 'users' }],
    ['_x$1', { schema: null, table: '_x$1' }],
    ['größe', { schema: null, table: 'größe' }],
    ['"select"', { schema: null, table: 'select' }],
    ['""""', { schema: null, table: '"' }],
  ] as const)('%s is read as SQL reads it', ([text, name]) => {
    expect(parseTableName(text)).toEqual(name)
  })

  test('only the letters A to Z fold to lower case, as in Postgres', () => {
    expect(parseTableName('ÉTÉ_Users')).toEqual({ schema: null, table: 'ÉtÉ_users' })
    expect(parseTableName('İx')).toEqual({ schema: null, table: 'İx' })
  })

  test.for([
    '',
    ' ',
    '.',
    'a.',
    '.a',
    'a..b',
    'a.b.c',
    'a b',
    'a;b',
    '1a',
    '$a',
    'a-b',
    '""',
    '"a',
    'a"b"',
    '"a"b',
    "'a'",
    'a.""',
    'users; DROP TABLE users',
    'users -- x',
  ])('%j is no table name, and the problem shows how one is written', (text) => {
    expect(() => parseTableName(text)).toThrow(Problem)
    expect(() => parseTableName(text)).toThrow('is not a table name. Write it as in SQL')
  })

  test('a long hostile text is refused without delay', () => {
    const began = performance.now()
    expect(() => parseTableName(`"${'a""'.repeat(50_000)}`)).toThrow(Problem)
    expect(() => parseTableName(`${' '.repeat(50_000)}x y`)).toThrow(Problem)
    expect(performance.now() - began).toBeLessThan(1000)
  })
})

describe('an identifier', () => {
  test('has its quotes doubled, so that it cannot end early', () => {
    assert(
      property(anyName, (name) => {
        const quoted = quoteIdentifier(name)
        expect(quoted.slice(0, 1) + quoted.slice(-1)).toBe('""')
        expect(quoted.slice(1, -1).replaceAll('""', '')).not.toContain('"')
        expect(quoted.slice(1, -1).replaceAll('""', '"')).toBe(name)
      }),
    )
  })

  test('is refused when it is empty or holds a NUL byte', () => {
    expect(() => quoteIdentifier('')).toThrow('is not an SQL identifier')
    expect(() => quoteIdentifier('a\0b')).toThrow('is not an SQL identifier')
  })
})

describe('a literal', () => {
  /** Reads E'…' as Postgres does, up to the quote that ends it. */
  function readLiteral(literal: string): { text: string; rest: string } {
    let text = ''
    let at = 2
    for (;;) {
      const [one, next] = [literal[at], literal[at + 1]]
      if (one === undefined) throw new Error(`not ended: ${literal}`)
      const doubled = (one === "'" || one === '\\') && next === one
      if (one === "'" && !doubled) return { text, rest: literal.slice(at + 1) }
      if (one === '\\' && !doubled) throw new Error(`an escape: ${literal}`)
      text += one
      at += doubled ? 2 : 1
    }
  }

  test('is read as the text that was quoted, and ends where it ends', () => {
    assert(
      property(option(anyName, { nil: '' }), (text) => {
        const literal = quoteLiteral(text)
        expect(literal.startsWith("E'")).toBe(true)
        expect(readLiteral(literal)).toEqual({ text, rest: '' })
      }),
      { numRuns: 500 },
    )
  })

  test('cannot end early, by a quote or by a backslash before one', () => {
    expect(quoteLiteral("O'Brien")).toBe("E'O''Brien'")
    expect(quoteLiteral("\\'; DROP TABLE users; --")).toBe("E'\\\\''; DROP TABLE users; --'")
  })
})
