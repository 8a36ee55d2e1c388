/** Which rows a statement changes: those for which a condition is true, with the relation that it joins them to, if any. */
export interface RowPick {
  readonly from?: string
  readonly where: string
}

/**
 * The change of picked rows. It returns their keys as `_ek_k1` and so on, and as `_ek_matches_still` whether a row matches the
 * predicate even now: its run would never end.
 */
export type RowChange = (pick: RowPick) => string
