import { assert, constantFrom, dictionary, jsonValue, property, shuffledSubarray, string } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Problem } from '../../src/core/errors.ts'
import { hashParams, isJob, type JobDefinition, readParams } from '../../src/core/job/job.ts'
import { defineJob, type UpdateDefinition } from '../../src/core/job/update.ts'
import { compileSql, sql } from '../../src/core/sql/template.ts'
import { resolveJob } from '../../src/engine/kinds/resolve.ts'

const good = { name: 'users-name', table: 'users', set: { name: sql`'x'` } }

/** What a file without types may hold. */
const unchecked = (change: Record<string, unknown>) => () =>
  defineJob({ ...good, ...change } as unknown as UpdateDefinition)

function problemOf(work: () => unknown): Problem {
  try {
    work()
  } catch (error) {
    expect(error).toBeInstanceOf(Problem)
    return error as Problem
  }
  throw new Error('nothing was thrown')
}

describe('defineJob', () => {
  test('gives back what it was given', () => {
    expect(defineJob(good)).toEqual({ ...good, kind: 'update' })
  })

  test.for([
    ['a name in capitals', { name: 'Users' }, 'name'],
    ['a name with a dot', { name: 'a.b' }, 'name'],
    ['a name of 64 letters', { name: 'a'.repeat(64) }, 'name'],
    ['a name with a colon', { name: 'a:b' }, 'name'],
    ['no name', { name: undefined }, 'name'],
    ['a table that is none', { table: 'a.b.c' }, 'is not a table name'],
    ['no table', { table: undefined }, 'table'],
    ['an empty key', { key: [] }, 'key'],
    ['a key of five columns', { key: ['a', 'b', 'c', 'd', 'e'] }, 'a key has at most four columns'],
    ['a key of a string', { key: 'id' }, 'key'],
    ['params that are no zod object', { params: z.string() }, 'params must be a zod object'],
    ['where as a string', { where: 'name IS NULL' }, 'where must be sql`…`'],
    ['set as a string', { set: 'name = 1' }, 'set must be { column: sql`…` }'],
    ['no set', { set: undefined }, 'set must be { column: sql`…` }'],
    ['an empty set', { set: {} }, 'set is empty'],
    ['a set with a plain value', { set: { name: 'x' } }, 'set.name is not sql`…`'],
    ['a set with a column without a name', { set: { '': sql`1` } }, 'set names a column'],
    ['a set with a column of 64 letters', { set: { ['a'.repeat(64)]: sql`1` } }, 'set names a column'],
    ['an unknown option', { options: { paralelism: 2 } }, 'paralelism'],
    ['an option out of bounds', { options: { parallelism: 0 } }, 'parallelism'],
    ['a word it does not know', { whre: sql`true` }, 'whre'],
  ] as const)('refuses %s, and says so', ([, change, words]) => {
    const problem = problemOf(unchecked(change))
    expect(problem.kind).toBe('invalid')
    expect(problem.message).toContain(words)
  })

  test('names everything that is wrong at once', () => {
    const { message } = problemOf(unchecked({ name: 'A', where: 'x', options: { parallelism: 0 } }))
    for (const word of ['name', 'where', 'parallelism']) expect(message).toContain(word)
  })

  test('knows its own jobs, also those of another copy of the module', () => {
    expect(isJob(defineJob(good))).toBe(true)
    expect(isJob({ ...good, kind: 'update', [Symbol.for('evenkeel.job')]: true })).toBe(true)
    for (const other of [null, undefined, 'users-name', good, { ...defineJob(good) }]) expect(isJob(other)).toBe(false)
  })

  test('leaves functions to be asked when there are parameters', () => {
    expect(unchecked({ where: () => 'nonsense', set: () => ({}) })).not.toThrow()
  })
})

describe('resolveJob', () => {
  const job = defineJob({
    name: 'old-users',
    table: 'users',
    params: z.object({ days: z.int().min(1), label: z.string().default('old') }),
    where: ({ days }) => sql`age > ${days}::int`,
    set: ({ label }) => ({ label: sql`${label}` }),
  })

  const definition = job as unknown as JobDefinition
  const refusalOf = (given: JobDefinition, params: unknown) => readParams(given, params).catch((problem) => problem)

  test('puts the parameters into where and set, defaults filled in', async () => {
    const resolved = resolveJob(definition, await readParams(definition, { days: 3 }))
    expect(resolved.params).toEqual({ days: 3, label: 'old' })
    expect(resolved.where && compileSql(resolved.where, 1)).toEqual({ text: 'age > $1::int', values: ['3'] })
    expect(resolved.set.map(([column, value]) => [column, compileSql(value, 1)])).toEqual([
      ['label', { text: '$1', values: ['old'] }],
    ])
  })

  test('takes no key and no predicate for null', () => {
    expect(resolveJob(defineJob(good), {})).toMatchObject({ key: null, where: null, params: {} })
  })

  test('names every parameter that does not fit, also to machines', async () => {
    const problem = await refusalOf(definition, { days: 0, label: 5 })
    expect(problem.message).toContain('old-users')
    expect(problem.details.issues).toEqual([
      { path: 'days', message: expect.any(String) },
      { path: 'label', message: expect.any(String) },
    ])
  })

  test('refuses parameters where the job has none, and takes none for none', async () => {
    expect((await refusalOf(defineJob(good), { days: 1 })).message).toContain('days')
    expect(await readParams(defineJob(good), undefined)).toEqual({})
  })

  test.for([
    ['throws', () => JSON.parse('no json')],
    ['fails later', async () => JSON.parse('no json')],
  ] as const)('says what a check of the author’s own %s', async ([, check]) => {
    const own = defineJob({ ...good, params: z.object({ raw: z.string().transform(check) }) })
    const problem = await refusalOf(own as unknown as JobDefinition, { raw: '' })
    expect(problem).toBeInstanceOf(Problem)
    expect(problem.message).toContain('params of job users-name throw for these parameters: Unexpected token')
  })

  test.for(['where', 'set'] as const)('says which function of which job has thrown: %s', (part) => {
    const cause = new Error('no such label')
    const own = unchecked({
      [part]: () => {
        throw cause
      },
    })()
    const problem = problemOf(() => resolveJob(own, {}))
    expect(problem).toMatchObject({ kind: 'invalid', cause })
    expect(problem.message).toMatch(new RegExp(`${part}.* users-name .*no such label`))
  })

  test.for<[string, Record<string, unknown>, string]>([
    ['where', { where: () => 'true' }, 'where of job users-name did not return sql``'],
    ['where, of a promise', { where: async () => sql`true` }, 'where of job users-name did not return sql``'],
    ['where, of one that fails', { where: () => Promise.reject(new Error('x')) }, 'where of job users-name did not'],
    ['set', { set: () => ({ name: 'x' }) }, 'set.name is not sql`…`'],
    ['set, of nothing', { set: () => ({}) }, 'set is empty'],
    ['set, of undefined', { set: () => undefined }, 'set of job users-name'],
  ])('refuses what the function %s must not return', ([, change, words]) => {
    expect(problemOf(() => resolveJob(unchecked(change)(), {})).message).toContain(words)
  })
})

describe('the fingerprint', () => {
  const base: UpdateDefinition = { ...good, where: sql`name IS NULL`, key: ['id'] }
  const of = (job: UpdateDefinition, params = {}) =>
    resolveJob(defineJob(job) as unknown as JobDefinition, params).fingerprint

  test.for([
    ['the predicate', { where: sql`name IS NULL OR name = ''` }],
    ['a value bound in the predicate', { where: sql`name = ${'x'}` }],
    ['having no predicate', { where: undefined }],
    ['a new value', { set: { name: sql`'y'` } }],
    ['the column', { set: { label: sql`'x'` } }],
    ['one more column', { set: { name: sql`'x'`, label: sql`'y'` } }],
    ['the table', { table: 'people' }],
    ['the key', { key: ['id', 'tenant'] }],
  ] as const)('changes with %s', ([, change]) => {
    const { where, ...rest } = { ...base, ...change }
    expect(of({ ...rest, ...(where ? { where } : {}) } as UpdateDefinition)).not.toBe(of(base))
  })

  test('stays when the description, the options or the schema of parameters change', () => {
    const same = of(base)
    expect(of({ ...base, description: 'other words' })).toBe(same)
    expect(of({ ...base, options: { parallelism: 8 } })).toBe(same)
    expect(of({ ...base, params: z.object({ unused: z.string().optional() }) })).toBe(same)
  })

  test('is of what is done, not of how it is written down', () => {
    const piece = sql`name IS NULL`
    expect(of({ ...base, where: sql`${piece}` })).toBe(of(base))
    expect(of({ ...base, where: () => piece })).toBe(of(base))
  })

  test('tells a bound value from text that looks like it', () => {
    expect(of({ ...base, where: sql`name = ${'$1'}` })).not.toBe(of({ ...base, where: sql`name = $1` }))
  })

  test('changes with a parameter that is used', () => {
    const job: UpdateDefinition = {
      ...base,
      params: z.object({ n: z.int() }),
      where: (params) => sql`id > ${params.n as number}`,
    }
    expect(of(job, { n: 1 })).toBe(of(job, { n: 1 }))
    expect(of(job, { n: 1 })).not.toBe(of(job, { n: 2 }))
  })
})

describe('the hash of parameters', () => {
  /** The same value with the keys of every object in another order. */
  function reordered(value: unknown, order: (keys: string[]) => string[]): unknown {
    if (Array.isArray(value)) return value.map((item) => reordered(item, order))
    if (value === null || typeof value !== 'object') return value
    const object = value as Record<string, unknown>
    return Object.fromEntries(order(Object.keys(object)).map((key) => [key, reordered(object[key], order)]))
  }

  test('is the same in whatever order the keys come', () => {
    assert(
      property(dictionary(string(), jsonValue()), (params) => {
        expect(hashParams(reordered(params, (keys) => keys.reverse()))).toBe(hashParams(params))
      }),
    )
  })

  test('is another one when a value, a key or the order of an array is another', () => {
    const hashes = [{}, { a: 1 }, { a: '1' }, { b: 1 }, { a: null }, { a: [1, 2] }, { a: [2, 1] }, { a: { a: 1 } }].map(
      hashParams,
    )
    expect(new Set(hashes).size).toBe(hashes.length)
  })

  test('tells subsets of keys apart', () => {
    assert(
      property(
        shuffledSubarray(['a', 'b', 'c']),
        shuffledSubarray(['a', 'b', 'c']),
        constantFrom(1, 'x'),
        (one, two, value) => {
          const made = (keys: string[]) => Object.fromEntries(keys.map((key) => [key, value]))
          expect(hashParams(made(one)) === hashParams(made(two))).toBe(
            [...one].sort().join() === [...two].sort().join(),
          )
        },
      ),
    )
  })

  test('takes dates and bigints, which a schema may make of text', () => {
    expect(hashParams({ at: new Date(0) })).not.toBe(hashParams({ at: new Date(1) }))
    expect(hashParams({ id: 2n ** 63n })).not.toBe(hashParams({ id: 2n ** 63n + 1n }))
  })
})

describe('a job that binds more values than a statement takes', () => {
  const list = (count: number) =>
    Array.from({ length: count }, (_, id) => id).reduce((all, id) => sql`${all}, ${id}`, sql`0`)

  test('is refused when it is read, and told to bind an array', () => {
    const where = () => sql`id IN (${list(70_000)})`
    const problem = problemOf(() => resolveJob(defineJob({ ...good, where }), {}))
    expect(problem.kind).toBe('invalid')
    expect(problem.message).toContain('bind one array')
    expect(problem.message).toContain('= ANY(${ids})')
  })

  test('counts where and set together', () => {
    const job = (count: number) =>
      resolveJob(defineJob({ ...good, where: sql`id IN (${list(count)})`, set: { name: sql`${'x'}`, b: sql`id` } }), {})
    expect(job(65_499).set).toHaveLength(2)
    expect(() => job(65_500)).toThrow('binds 65501 values')
  })
})

test('the fingerprint of a job stays what it is from release to release', () => {
  const job = defineJob({ ...good, where: sql`a = ${1} AND (${sql`b IS NULL`})` })
  expect(resolveJob(job as unknown as JobDefinition, {}).fingerprint).toBe(
    '393e8aa7b28bd24d4362a384697ec10a7c59a9f5e0870fe86bb03c6a336c439e',
  )
})
