import type { Pause } from '../core/run/pause.ts'
import { detectStall } from '../core/run/stall.ts'
import { quoteTableName } from '../core/sql/identifier.ts'
import { overridesInForce } from '../core/throttle/hold.ts'
import type { Timings } from '../core/timings.ts'
import { listPauses } from '../store/pauses.ts'
import { type RangeTotals, sumRanges } from '../store/range-totals.ts'
import type { Run } from '../store/run.ts'
import { progressOfRun, throttleOfRun } from '../store/run-progress.ts'
import { findStandbyWait, type StandbyWait } from '../store/standby-wait.ts'
import type { Database } from './database.ts'
import { queryAll, type Unreachable } from './databases.ts'
import { mergeShards, type ShardView } from './merge.ts'
import type { RunView } from './run-schema.ts'
import type { ShardedRun, UnavailableShard } from './shards.ts'

/** Runs as the API shows them, with progress from their checkpoints, and the databases that could not be read. */
export async function viewRuns(
  runs: readonly ShardedRun[],
): Promise<{ runs: RunView[]; away: readonly Unreachable[] }> {
  const databases = new Map<Database, string[]>()
  for (const { db, run } of runs.flatMap(({ shards }) => shards)) {
    const ids = databases.get(db) ?? []
    databases.set(db, [...ids, run.id])
  }
  if (databases.size === 0) return { runs: [], away: [] }
  const { answers, away } = await queryAll([...databases.keys()], (db) => look(db, databases.get(db) as string[]))
  const looks = new Map(answers.map(({ db, answer }) => [db, answer]))
  const bodies = runs.flatMap(({ shards, unseen }) => {
    const shown: ShardView[] = shards.flatMap(({ db, run }) => {
      const seen = looks.get(db)
      const sums = seen?.totals.get(run.id)
      if (!seen || !sums) return []
      const around = { pauses: seen.pauses.get(run.id) ?? [], standbyWait: seen.standbyWait }
      return [{ database: db.name, body: present(run, sums, around, db.timings) }]
    })
    const gone = away.filter(({ database }) => shards.some(({ db }) => db.name === database))
    return mergeShards(shown, [...unseen, ...gone.map((one): UnavailableShard => ({ ...one, state: 'unreachable' }))])
  })
  return { runs: bodies, away }
}

export async function viewRun(run: ShardedRun): Promise<RunView> {
  return (await viewRuns([run])).runs[0] as RunView
}

/** Everything shown of runs that is not in their rows. */
async function look({ control }: Database, ids: readonly string[]) {
  return {
    totals: await sumRanges(control, ids),
    pauses: await listPauses(control, ids),
    standbyWait: await findStandbyWait(control),
  }
}

/** State around a run that is not in its own row. */
interface Around {
  readonly pauses: readonly Pause[]
  readonly standbyWait: StandbyWait | null
}

/** ISO 8601 UTC, or null. */
export function iso(date: Date | null): string | null {
  return date?.toISOString() ?? null
}

function stalledOf({ status }: Run, totals: RangeTotals, timings: Timings): RunView['stalled'] {
  const stall = detectStall(status, totals, timings.stalledAfterSeconds)
  return stall && { since: stall.since.toISOString(), lastCheckpointAt: iso(stall.lastCheckpointAt) }
}

function present(run: Run, totals: RangeTotals, { pauses, standbyWait }: Around, timings: Timings): RunView {
  return {
    id: run.id,
    job: run.job,
    params: run.params,
    table: quoteTableName(run.target),
    status: run.status,
    reason: run.reason,
    pauses: pauses.map((pause) => ({ ...pause, since: pause.since.toISOString() })),
    progress: progressOfRun(run, totals),
    throttle: throttleOfRun(run, totals, pauses, standbyWait),
    stalled: stalledOf(run, totals, timings),
    proof:
      run.status === 'succeeded'
        ? {
            rowsDone: totals.rowsDone,
            rowsScanned: totals.rowsScanned,
            rowsGone: totals.rowsGone,
            rowsChecked: totals.rowsChecked,
            quarantined: totals.quarantined,
            discarded: totals.discarded,
            residual: run.hasPredicate ? totals.stragglers : null,
          }
        : null,
    overrides: overridesInForce(run.overrides, totals.readAt),
    options: run.options,
    version: run.version,
    createdBy: run.createdBy,
    createdAt: run.createdAt.toISOString(),
    startedAt: iso(run.startedAt),
    endedAt: iso(run.endedAt),
    lastCheckpointAt: iso(totals.lastCheckpointAt),
  }
}
