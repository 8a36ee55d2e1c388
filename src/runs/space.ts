import type { PoolClient } from 'pg'
import type { z } from 'zod'
import type { RunOptions } from '../core/job/options.ts'
import type { Target } from '../core/range/key.ts'
import { deadRowsAt, ineffectiveLimit, maxUnvacuumed, type VacuumState, vacuumComes } from '../core/space/autovacuum.ts'
import { spaceFindings, spaceSummary } from '../core/space/findings.ts'
import { forecastSpace, matchingShare, type Rehearsed, type SpaceFacts } from '../core/space/forecast.ts'
import { sqlstateOf } from '../core/sqlstate.ts'
import { getDeadRowLimit } from '../core/throttle/limits.ts'
import type { ResolvedJob } from '../engine/kinds/kind.ts'
import { readSpace } from '../engine/space/measure.ts'
import type { Ask } from '../postgres/ask.ts'
import { readVacuumStates } from '../signals/autovacuum.ts'
import type { Database } from './database.ts'
import type { spaceSchema } from './dry-run-schemas.ts'

export type SpaceReport = z.output<typeof spaceSchema>

/** What there is to know of a table's space before a run. */
export interface SpaceMeasurement {
  readonly facts: SpaceFacts
  readonly vacuum: readonly VacuumState[]
}

/** For what signals read, in a session that is there already. */
export function askBy(client: PoolClient): Ask {
  return (statement, values) => statement.rows({ db: client }, values)
}

/** Looks. Null where Postgres does not let us: nobody's run is refused because its growth cannot be told. */
export async function measureSpace(
  { log, control }: Database,
  client: PoolClient,
  target: Target,
  job: ResolvedJob,
): Promise<SpaceMeasurement | null> {
  const ask = askBy(client)
  try {
    const facts = await readSpace(client, control.s, target, job)
    const [vacuum = []] = await readVacuumStates(ask, [target])
    return { facts, vacuum }
  } catch (error) {
    if (sqlstateOf(error) === null) throw error
    log.warn({ err: error, job: job.name }, 'how much the table will grow cannot be told')
    return null
  }
}

/** The forecast for a run with these options; `rehearsed` is what batches have shown that were rolled back. */
export function describeSpace(
  { facts, vacuum }: SpaceMeasurement,
  options: RunOptions,
  rehearsed: Rehearsed | null = null,
): SpaceReport {
  const share = matchingShare(facts)
  const limit = getDeadRowLimit(options)
  const unvacuumed = vacuumComes(vacuum, share) ? maxUnvacuumed(vacuum, share) : Infinity
  const most = Math.min(unvacuumed, limit ? deadRowsAt(limit, facts.rows) : Infinity)
  const forecast = forecastSpace(facts, { rehearsed, maxDeadRows: most < share * facts.rows ? most : null })
  const vain = limit && ineffectiveLimit(facts.table, vacuum, limit, share)
  return {
    summary: spaceSummary(facts, forecast),
    ...forecast,
    indexes: facts.indexes.map(({ name, method, bytes }) => ({ name, method, bytes })),
    findings: [...(vain ? [vain] : []), ...spaceFindings(facts, forecast, limit !== null, rehearsed)],
  }
}
