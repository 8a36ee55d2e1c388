import type { Cursor } from './key.ts'

/**
 * What a range is for. `keys` is a slice of the key space; `stragglers` are the rows written down as locked by others;
 * `residual` is the reading pass that proves the end. They are worked off in this order.
 */
export type RangeKind = 'keys' | 'stragglers' | 'residual'

/** A slice of the key space: above `lower`, up to and including `upper`; null is unbounded. */
export interface KeyRange {
  readonly lower: Cursor | null
  readonly upper: Cursor | null
}

/**
 * Cuts the key space at boundaries (ascending, as the database sorted them) into ranges that leave no gap.
 * Nothing above the last boundary belongs to the run: what is inserted there later is the application's own to fill.
 * Without a boundary the table was empty, and one unbounded range stands for it.
 */
export function rangesBetween(boundaries: readonly Cursor[]): KeyRange[] {
  if (boundaries.length === 0) return [{ lower: null, upper: null }]
  return boundaries.map((upper, index) => ({ lower: boundaries[index - 1] ?? null, upper }))
}
