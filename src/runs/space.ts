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

/** The space measurements of a table before a run. */
export interface SpaceMeasurement {
  readonly facts: SpaceFacts
  readonly vacuum: readonly VacuumState[]
}

/** Runs the statements of signals in an existing session. */
export function askBy(client: PoolClient): Ask {
  return (statement, values) => statement.rows({ db: client }, values)
}

/** Measures the space of a table. Null if Postgres denies it: a missing forecast does not refuse a run. */
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
    log.warn({ err: error, job: job.name }, 'the space of the table could not be measured; there is no growth forecast')
    return null
  }
}

/** The growth forecast for a run with these options. `rehearsed` holds the results of rolled-back batches. */
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
