/** Which rows a statement changes: those that meet a condition, and the relation that it joins them to, if any. */
export interface RowPick {
  readonly from?: string
  readonly where: string
}

/**
 * The change of picked rows. It returns their keys as `_ek_k1` and so on. It also returns `_ek_matches_still`: the row
 * matches the predicate even now, so that its run would never end.
 */
export type RowChange = (pick: RowPick) => string
