import type { Cursor, Leaf } from './key.ts'
import type { PhaseName } from './phase.ts'

/** A part of the key space: above `lower`, up to and including `upper`. Null is unbounded. */
export interface KeyRange {
  /** The partition that it belongs to; null if the table has none. */
  readonly leaf: Leaf | null
  readonly lower: Cursor | null
  readonly upper: Cursor | null
}

/**
 * Splits the key space at boundaries (ascending, as the database sorted them) into ranges without a gap. Keys above the
 * last boundary do not belong to the run: the application fills the rows that it inserts there later. Without a
 * boundary the table was empty, and one unbounded range stands for it.
 */
export function rangesBetween(boundaries: readonly Cursor[], leaf: Leaf | null = null): KeyRange[] {
  if (boundaries.length === 0) return [{ leaf, lower: null, upper: null }]
  return boundaries.map((upper, index) => ({ leaf, lower: boundaries[index - 1] ?? null, upper }))
}

/**
 * The ranges of the residual check. With a predicate it looks for matching rows everywhere, also above the frozen
 * bound. Without one it can only compare the number of rows, within the bound.
 */
export function residualRanges(ranges: readonly KeyRange[], hasPredicate: boolean): KeyRange[] {
  const isLast = ({ leaf }: KeyRange, index: number) => {
    const next = ranges[index + 1]
    return next?.leaf?.oid !== leaf?.oid || !next
  }
  return ranges.map((range, index) => (hasPredicate && isLast(range, index) ? { ...range, upper: null } : range))
}

/** Every third item first, then those between, so that the first few come from all parts of the list. */
export function spread<T>(items: readonly T[]): T[] {
  return [0, 1, 2].flatMap((first) => items.filter((_, index) => index % 3 === first))
}

/** The ranges of the check by page: one for each file, split while it is worked on. */
export function pageRanges(residual: readonly KeyRange[]): KeyRange[] {
  const files = new Map(residual.map(({ leaf }) => [leaf?.oid, leaf]))
  return [...files.values()].map((leaf) => ({ leaf, lower: null, upper: null }))
}

/** A range of a run. Its phase says what its bounds are. */
export interface PhaseRange extends KeyRange {
  readonly phase: PhaseName
}

/**
 * The ranges of a run with these phases, given the parts of its key space. Pages are read if there is a predicate, or
 * if the index of the key may be out of order.
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
