import type { TableShape } from '../support/schema.ts'

export const fsyncs = ['on', 'off'] as const

/** What all cases of one table are measured under. */
export interface Setting extends TableShape {
  /** Whether commits wait for the disk. */
  readonly fsync: (typeof fsyncs)[number]
}

export function sameSetting(a: Setting, b: Setting): boolean {
  return a.rows === b.rows && a.keys === b.keys && a.width === b.width && a.fsync === b.fsync
}

export function describeSetting({ rows, ...others }: Setting): string {
  return `${rows.toLocaleString('en-US')} rows, ${describeKind(others)}`
}

/** Without the size. */
export function describeKind({ keys, width, fsync }: Omit<Setting, 'rows'>): string {
  return `${keys} keys, ${width} rows, fsync ${fsync}`
}
