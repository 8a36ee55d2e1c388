import type { z } from 'zod'
import { overridesInForce } from '../core/hold.ts'
import { quoteTableName } from '../core/identifier.ts'
import { progressOf } from '../core/progress.ts'
import type { Control } from '../store/control.ts'
import { type RangeTotals, sumRanges, type Throttle } from '../store/ranges.ts'
import type { Run } from '../store/runs.ts'
import type { runSchema } from './schemas.ts'

export type RunBody = z.output<typeof runSchema>

/** Runs as the API shows them, with the progress that their checkpoints tell. */
export async function presentRuns(control: Control, runs: readonly Run[]): Promise<RunBody[]> {
  const totals = await sumRanges(
    control,
    runs.map((run) => run.id),
  )
  return runs.map((run) => present(run, totals.get(run.id) as RangeTotals))
}

export async function presentRun(control: Control, run: Run): Promise<RunBody> {
  return (await presentRuns(control, [run]))[0] as RunBody
}

/** ISO 8601 UTC, or null. */
export function iso(date: Date | null): string | null {
  return date?.toISOString() ?? null
}

/** What holds it back: a hold, which stops all of its workers, before what one of them waits for. */
function throttleOf({ status, hold }: Run, totals: RangeTotals): Throttle | null {
  if (hold) {
    const { reason, signal, value, limit, since } = hold
    return { reason, signal, value, limit, since }
  }
  return status === 'running' || status === 'verifying' ? totals.throttle : null
}

function present(run: Run, totals: RangeTotals): RunBody {
  const heldMs = run.heldMs + (run.hold ? Date.now() - Date.parse(run.hold.since) : 0)
  const progress = progressOf({
    status: run.status,
    rowsTotal: run.target.estimatedRows,
    ...totals,
    throttledSeconds: totals.throttledSeconds / run.options.parallelism + Math.max(0, heldMs) / 1000,
  })
  return {
    id: run.id,
    job: run.job,
    params: run.params,
    table: quoteTableName(run.target),
    status: run.status,
    reason: run.reason,
    progress,
    throttle: throttleOf(run, totals),
    proof:
      run.status === 'succeeded'
        ? {
            rowsDone: totals.rowsDone,
            rowsScanned: totals.rowsScanned,
            rowsGone: totals.rowsGone,
            rowsChecked: totals.residualScanned,
            residual: run.hasPredicate ? totals.stragglers : null,
          }
        : null,
    overrides: overridesInForce(run.overrides, new Date()),
    options: run.options,
    version: run.version,
    createdBy: run.createdBy,
    createdAt: run.createdAt.toISOString(),
    startedAt: iso(run.startedAt),
    endedAt: iso(run.endedAt),
    lastCheckpointAt: iso(totals.lastCheckpointAt),
  }
}
