import type { Cursor } from '../range/key.ts'

/** Why a run ends at a row that matches its predicate even after it was changed. */
export function endlessReason(key: Cursor): string {
  return `where still matches rows after set has changed them, for one the row with key ${JSON.stringify(key)}: this run would never end. Change where so that set makes it false, for instance by leaving out rows whose new value is null.`
}
