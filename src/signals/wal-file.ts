const segmentName = /^[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})(?:\.|$)/

/**
 * Number of the WAL segment that a file belongs to, counted over all timelines: a new timeline continues the old one.
 * Null if the name is not of a segment, such as that of a timeline's history.
 */
export function segmentOf(file: string, segmentBytes: number): number | null {
  const match = segmentName.exec(file)
  if (!match) return null
  const [log, segment] = [Number.parseInt(match[1] ?? '', 16), Number.parseInt(match[2] ?? '', 16)]
  return log * (2 ** 32 / segmentBytes) + segment
}

/** Complete segments that are not archived: those after the last archived one and before the current one. */
export function segmentsBetween(archived: string, current: string, segmentBytes: number): number | null {
  const [last, now] = [segmentOf(archived, segmentBytes), segmentOf(current, segmentBytes)]
  return last === null || now === null ? null : Math.max(0, now - last - 1)
}
