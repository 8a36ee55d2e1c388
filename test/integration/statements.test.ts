import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { isJsonb, statements } from '../../src/postgres/statement.ts'
import { createDatabase } from '../support/database.ts'
import { describeStatement } from '../support/describe-statement.ts'

const rooms = ['postgres', 'store', 'signals', 'engine', 'queue']

// Whatever a room declares is in the list once its files are loaded.
const source = new URL('../../src/', import.meta.url)
for (const room of rooms) {
  for (const file of await readdir(new URL(`${room}/`, source), { recursive: true }))
    if (file.endsWith('.ts')) await import(new URL(`${room}/${file}`, source).href)
}

/** Types of Postgres by what the driver makes of their values. */
const typesOf = {
  string: { text: 25, name: 19, varchar: 1043, char: 18, bigint: 20, numeric: 1700, pg_lsn: 3220 },
  number: { int2: 21, int4: 23, float4: 700, float8: 701, oid: 26 },
  boolean: { bool: 16 },
  date: { timestamptz: 1184 },
  'string[]': { 'text[]': 1009 },
  'number[]': { 'int2[]': 1005, 'int4[]': 1007, 'oid[]': 1028, 'float8[]': 1022 },
  json: { jsonb: 3802, json: 114 },
} as const

function fits(column: z.ZodType): keyof typeof typesOf {
  if (column instanceof z.ZodNullable) return fits(column.unwrap() as z.ZodType)
  if (isJsonb(column)) return 'json'
  if (column instanceof z.ZodString || column instanceof z.ZodEnum) return 'string'
  if (column instanceof z.ZodNumber) return 'number'
  if (column instanceof z.ZodBoolean) return 'boolean'
  if (column instanceof z.ZodDate) return 'date'
  if (column instanceof z.ZodArray) {
    const of = `${fits(column.element as z.ZodType)}[]`
    if (of === 'string[]' || of === 'number[]') return of
  }
  throw new Error(`a column cannot be declared as ${column.constructor.name}`)
}

describe('every statement', () => {
  test('has a name of its own', () => {
    const names = statements.map(({ name }) => name)
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
  })

  test('gives the columns that it declares, with types that the driver reads so', async () => {
    const database = await createDatabase()
    const session = await database.session()
    // So that every name that a statement does not qualify is one of pg_catalog.
    await session.query("SET search_path = ''")
    const wrong: string[] = []
    for (const { name, text, shape } of statements) {
      const columns = await describeStatement(session, text('evenkeel')).catch((error: Error) => error)
      if (columns instanceof Error) {
        wrong.push(`${name}: ${columns.message}`)
        continue
      }
      const given = columns.map((column) => column.name).sort()
      const declared = Object.keys(shape?.shape ?? {}).sort()
      if (JSON.stringify(given) !== JSON.stringify(declared))
        wrong.push(`${name} gives ${given}, and declares ${declared}`)
      for (const column of columns) {
        const schema = (shape?.shape as Record<string, z.ZodType> | undefined)?.[column.name]
        if (schema && !(Object.values(typesOf[fits(schema)]) as number[]).includes(column.type))
          wrong.push(`${name}.${column.name} is of type ${column.type}, and declared as ${fits(schema)}`)
      }
    }
    expect(wrong).toEqual([])
    expect(statements.length).toBeGreaterThan(20)
  })
})
