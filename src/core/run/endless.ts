import type { Cursor } from '../range/key.ts'

/** Why a run ends at a row that still matches its predicate after it was changed. */
export function endlessReason(key: Cursor): string {
  return `where still matches rows after set has changed them, such as the row with key ${JSON.stringify(key)}: this run would never end. Change where so that set makes it false, for example by leaving out rows whose new value is null.`
}
