import { mappingOf } from './fields.ts'
import type { Look } from './look.ts'
import { written } from './units.ts'

/** A value in words: what it is mapped to, or the number with its unit. */
export const valueText = (look: Look, value: number, now: number): string =>
  mappingOf(look, String(value))?.text ?? written(value, { unit: look.unit ?? 'none', decimals: look.decimals }, now)
