import { z } from 'zod'
import { nearest } from './nearest-name.ts'

/** An object with exactly these keys. Its errors name the keys there are, and the one that was probably meant. */
export function strictObject<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, { error: explainObject })
}

/** Explains what is wrong with an object as a whole. Null if zod explains it. */
export function explainObject(issue: z.core.$ZodRawIssue): string | null {
  const keys = Object.keys((issue.inst as z.ZodObject | undefined)?.shape ?? {})
  if (issue.code === 'invalid_type')
    return `a JSON object is needed, with ${keys.length === 1 ? 'the key' : 'keys of'} ${keys.join(', ')}`
  if (issue.code !== 'unrecognized_keys') return null
  const unknown = (issue.keys ?? []) as string[]
  const meant = unknown.flatMap((key) => nearest(key, keys) ?? [])
  const hint = meant.length > 0 ? `did you mean ${meant.join(', ')}?` : `the keys are ${keys.join(', ')}`
  return `there is no key ${unknown.map((key) => JSON.stringify(key)).join(', ')}: ${hint}`
}
