import { defineJob, sql } from 'evenkeel'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { Problem } from '../../src/core/errors.ts'

/**
 * What an editor underlines in a job file. Each `@ts-expect-error` is an assertion of the compiler, which fails where
 * there is no error under it; that the same mistakes do not pass at run time either is asserted here.
 */
function expectRefused(...mistakes: Array<() => unknown>): void {
  for (const mistake of mistakes) expect(mistake).toThrow(Problem)
}

const set = { full_name: sql`first_name || ' ' || last_name` }

test('a job as the documentation writes it compiles', () => {
  const job = defineJob({
    name: 'users-full-name',
    description: 'one name of two',
    table: 'public.users',
    key: ['tenant', 'id'],
    params: z.object({ days: z.int(), label: z.string().default('x') }),
    where: ({ days, label }) => sql`full_name IS NULL AND age > ${days}::int AND label = ${label.toUpperCase()}`,
    set: ({ days }) => ({ ...set, days: sql`${days}` }),
    options: { batchSize: { min: 50, max: 10_000 }, parallelism: 2, maxRowsPerSecond: null, targetBatchSeconds: 0.02 },
  })
  expect(job.name).toBe('users-full-name')
})

test('what a job must have, it must have', () => {
  expectRefused(
    // @ts-expect-error no name
    () => defineJob({ table: 'users', set }),
    // @ts-expect-error no table
    () => defineJob({ name: 'a', set }),
    // @ts-expect-error no set
    () => defineJob({ name: 'a', table: 'users' }),
  )
})

test('plain text is not SQL', () => {
  expectRefused(
    // @ts-expect-error where is a string
    () => defineJob({ name: 'a', table: 'users', where: 'full_name IS NULL', set }),
    // @ts-expect-error a value is a string
    () => defineJob({ name: 'a', table: 'users', set: { full_name: 'x' } }),
    // @ts-expect-error a value is a number
    () => defineJob({ name: 'a', table: 'users', set: { visits: 0 } }),
  )
})

test('a word that is misspelt is found', () => {
  expectRefused(
    // @ts-expect-error where
    () => defineJob({ name: 'a', table: 'users', set, wher: sql`true` }),
    // @ts-expect-error parallelism
    () => defineJob({ name: 'a', table: 'users', set, options: { paralelism: 2 } }),
    // @ts-expect-error batchSize
    () => defineJob({ name: 'a', table: 'users', set, options: { batchSize: 'large' } }),
    // @ts-expect-error batchSize has min and max
    () => defineJob({ name: 'a', table: 'users', set, options: { batchSize: { most: 10 } } }),
  )
})

test('a key has at least one column', () => {
  expectRefused(
    // @ts-expect-error an empty key
    () => defineJob({ name: 'a', table: 'users', set, key: [] }),
    // @ts-expect-error a key that is not a list
    () => defineJob({ name: 'a', table: 'users', set, key: 'id' }),
  )
})

test('parameters have the types of their schema', () => {
  const params = z.object({ days: z.int() })
  expectRefused(
    // @ts-expect-error a schema that is no object
    () => defineJob({ name: 'a', table: 'users', set, params: z.string() }),
  )
  // These compile away: the functions are called only once there are parameters.
  defineJob({
    name: 'a',
    table: 'users',
    params,
    set,
    // @ts-expect-error there is no parameter hours
    where: ({ hours }) => sql`age > ${hours}`,
  })
  defineJob({
    name: 'a',
    table: 'users',
    params,
    // @ts-expect-error days is a number
    set: ({ days }) => ({ full_name: sql`${days.toUpperCase()}` }),
  })
  defineJob({
    name: 'a',
    table: 'users',
    set,
    // @ts-expect-error a job without a schema has no parameters
    where: ({ days }) => sql`age > ${days}`,
  })
  // @ts-expect-error where returns SQL, not text
  defineJob({ name: 'a', table: 'users', params, set, where: ({ days }) => `age > ${days}` })
})

test('only what can be bound is bound', () => {
  // @ts-expect-error undefined
  expect(() => sql`a = ${undefined}`).toThrow(TypeError)
  // @ts-expect-error an object
  expect(() => sql`a = ${{ days: 1 }}`).toThrow(TypeError)
  // @ts-expect-error a function
  expect(() => sql`a = ${() => 1}`).toThrow(TypeError)
})
