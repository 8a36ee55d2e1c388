import { formatCount } from '../format.ts'

/** What autovacuum goes by at one table or one partition, as it is now. */
export interface VacuumState {
  /** False if it never runs by itself, or only against wraparound. */
  readonly enabled: boolean
  /** autovacuum_vacuum_threshold: rows */
  readonly base: number
  /** autovacuum_vacuum_scale_factor: fraction of the rows */
  readonly scaleFactor: number
  /** autovacuum_vacuum_max_threshold, since Postgres 18; null if there is none. */
  readonly most: number | null
  /** Rows by the last VACUUM or ANALYZE, which autovacuum calculates with. */
  readonly rows: number
  /** Dead rows now. */
  readonly dead: number
}

/** Autovacuum runs once there are more dead rows than this; null if it does not run. */
export function vacuumThreshold({ enabled, base, scaleFactor, most, rows }: VacuumState): number | null {
  if (!enabled) return null
  return Math.min(base + scaleFactor * rows, most ?? Number.POSITIVE_INFINITY)
}

/** The dead rows at which a run is held: a fraction of the table, or a number of rows. */
export type DeadLimit = { readonly part: number } | { readonly rows: number }

/** The number of dead rows at which a run with this limit is held. */
export function deadRowsAt(limit: DeadLimit, rows: number): number {
  return 'rows' in limit ? limit.rows : (limit.part / (1 - limit.part)) * rows
}

/** Whether autovacuum runs by itself before each of these rows has been changed once. */
export function vacuumComes(parts: readonly VacuumState[], changedShare: number): boolean {
  return parts.some((part) => (vacuumThreshold(part) ?? Infinity) < changedShare * part.rows)
}

/** The most dead rows that can exist without autovacuum running, if each row is changed once. */
export function maxUnvacuumed(parts: readonly VacuumState[], changedShare: number): number {
  return parts.reduce((sum, part) => sum + Math.min(vacuumThreshold(part) ?? Infinity, changedShare * part.rows), 0)
}

const switches = 'the settings autovacuum and track_counts, and autovacuum_enabled of the table or its partitions'

/** Of one table or partition: settings under which autovacuum comes for less than so many would keep it coming. */
const fewDead = 200

/**
 * For a run that is held for its dead rows: whether vacuum is on its way and, if not, what to do. An operator must not
 * have to find out that the run waits for a vacuum that never comes.
 */
export function vacuumOutlook(table: string, parts: readonly VacuumState[]): string {
  const due = parts.some((part) => part.dead > (vacuumThreshold(part) ?? Infinity))
  if (due) {
    return 'Autovacuum is due and runs by itself. If it has run and they stay, a long transaction or a prepared one keeps them (pg_stat_activity, pg_prepared_xacts): end it.'
  }
  if (parts.every(({ enabled }) => !enabled)) {
    return `Autovacuum is switched off: VACUUM ${table} by hand, or switch it on (${switches}).`
  }
  const dead = total(parts, (part) => part.dead)
  const earlier = dead > fewDead * parts.length ? `, and let it run earlier: ${earlierVacuum(table, parts, dead)}` : ''
  return `Autovacuum does not run before ${formatCount(total(parts, (part) => vacuumThreshold(part) ?? 0))} dead rows, and there are ${formatCount(dead)}: VACUUM ${table} by hand${earlier}.`
}

/**
 * For a run that would be held at so many dead rows: why vacuum would not release it, and what to do; null if it would.
 */
export function ineffectiveLimit(
  table: string,
  parts: readonly VacuumState[],
  limit: DeadLimit,
  changedShare: number,
): string | null {
  const rows = total(parts, (part) => part.rows)
  const held = deadRowsAt(limit, rows)
  // Partitions are vacuumed one at a time: the dead rows of the others must be few enough for the run to go on.
  const needed = parts.length > 1 ? held / 2 : held
  const most = maxUnvacuumed(parts, changedShare)
  if (changedShare * rows < held || most < needed) return null
  if (rows === 0) return null
  const what = `The run is held at ${formatCount(held)} dead rows (signals.dead-tuples) and goes on when they are vacuumed, but`
  if (parts.some(({ enabled }) => !enabled)) {
    return `${what} autovacuum is switched off for ${parts.length > 1 ? `partitions of ${table}` : table}: VACUUM ${table} by hand each time the run is held, or switch it on (${switches}).`
  }
  return `${what} autovacuum runs only at ${formatCount(total(parts, (part) => vacuumThreshold(part) ?? 0))}: ${earlierVacuum(table, parts, needed)}, or VACUUM ${table} by hand each time the run is held.`
}

/** Settings with which autovacuum runs well before there are so many dead rows. */
function earlierVacuum(table: string, parts: readonly VacuumState[], dead: number): string {
  const rows = Math.max(
    1,
    total(parts, (part) => part.rows),
  )
  const factor = roundDown((0.5 * dead) / rows)
  const base = Math.floor((0.25 * dead) / parts.length)
  const threshold = parts.some((part) => part.base > base) ? `, autovacuum_vacuum_threshold = ${base}` : ''
  const settings = `SET (autovacuum_vacuum_scale_factor = ${factor}${threshold})`
  return `ALTER TABLE ${table} ${settings}${parts.length > 1 ? ', on each of its partitions' : ''}`
}

/** To one digit: 0.0379 is 0.03. */
function roundDown(value: number): number {
  const digit = 10 ** Math.floor(Math.log10(value))
  return Number((Math.floor(value / digit) * digit).toPrecision(1))
}

function total(parts: readonly VacuumState[], of: (part: VacuumState) => number): number {
  return parts.reduce((sum, part) => sum + of(part), 0)
}
