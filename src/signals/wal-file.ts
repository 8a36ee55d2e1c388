const segmentName = /^[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})(?:\.|$)/

/**
 * The number of the WAL segment that a file belongs to, counted through all timelines: a new timeline goes on where it
 * left the old one. Null where the name says nothing of a segment, as that of a timeline's history.
 */
export function segmentOf(file: string, segmentBytes: number): number | null {
  const match = segmentName.exec(file)
  if (!match) return null
  const [log, segment] = [Number.parseInt(match[1] ?? '', 16), Number.parseInt(match[2] ?? '', 16)]
  return log * (2 ** 32 / segmentBytes) + segment
}

/** How many segments are complete and not archived: those after the last archived one and before the current one. */
export function segmentsBetween(archived: string, current: string, segmentBytes: number): number | null {
  const [last, now] = [segmentOf(archived, segmentBytes), segmentOf(current, segmentBytes)]
  return last === null || now === null ? null : Math.max(0, now - last - 1)
}
