import type { Cursor, Leaf } from './key.ts'
import type { PhaseName } from './phase.ts'

/** A slice of the key space: above `lower`, up to and including `upper`; null is unbounded. */
export interface KeyRange {
  /** The partition it is a slice of; null where the table has none. */
  readonly leaf: Leaf | null
  readonly lower: Cursor | null
  readonly upper: Cursor | null
}

/**
 * Cuts the key space at boundaries (ascending, as the database sorted them) into ranges that leave no gap.
 * Nothing above the last boundary belongs to the run: what is inserted there later is the application's own to fill.
 * Without a boundary the table was empty, and one unbounded range stands for it.
 */
export function rangesBetween(boundaries: readonly Cursor[], leaf: Leaf | null = null): KeyRange[] {
  if (boundaries.length === 0) return [{ leaf, lower: null, upper: null }]
  return boundaries.map((upper, index) => ({ leaf, lower: boundaries[index - 1] ?? null, upper }))
}

/**
 * The ranges of the residual check. Rows that match are looked for everywhere, above the frozen bound as well; where there
 * is no predicate there is only the number of rows to compare, and that inside the bound.
 */
export function residualRanges(ranges: readonly KeyRange[], hasPredicate: boolean): KeyRange[] {
  const isLast = ({ leaf }: KeyRange, index: number) => {
    const next = ranges[index + 1]
    return next?.leaf?.oid !== leaf?.oid || !next
  }
  return ranges.map((range, index) => (hasPredicate && isLast(range, index) ? { ...range, upper: null } : range))
}

/** Every third of them first, then those between: so that the first few are of all parts of a list. */
export function spread<T>(items: readonly T[]): T[] {
  return [0, 1, 2].flatMap((first) => items.filter((_, index) => index % 3 === first))
}

/** The ranges of the check by pages: one for each file, to be split as it is worked on. */
export function pageRanges(residual: readonly KeyRange[]): KeyRange[] {
  const files = new Map(residual.map(({ leaf }) => [leaf?.oid, leaf]))
  return [...files.values()].map((leaf) => ({ leaf, lower: null, upper: null }))
}

/** A range of a run: its phase says what its bounds are. */
export interface PhaseRange extends KeyRange {
  readonly phase: PhaseName
}

/**
 * The ranges of a run that goes through these phases, given the slices of its key space. Pages are read where a row that matches is looked for,
 * or where the index of the key may be out of order.
 */
export function rangesOfPhases(
  names: readonly PhaseName[],
  slices: readonly KeyRange[],
  { hasPredicate, byLocale }: { readonly hasPredicate: boolean; readonly byLocale: boolean },
): PhaseRange[] {
  const residual = residualRanges(slices, hasPredicate)
  const ranges: Readonly<Record<PhaseName, readonly KeyRange[]>> = {
    keys: slices,
    stragglers: [{ leaf: null, lower: null, upper: null }],
    residual,
    pages: hasPredicate || byLocale ? pageRanges(residual) : [],
  }
  return names.flatMap((phase) => ranges[phase].map((range) => ({ ...range, phase })))
}
