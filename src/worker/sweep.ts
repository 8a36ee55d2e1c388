import { stragglerBackoff, sweepWait } from '../core/backoff.ts'
import type { BatchResult } from '../engine/batch/batch.ts'
import type { Control } from '../store/control.ts'
import type { Run } from '../store/run.ts'
import { updateReason } from '../store/run-changes.ts'
import { isStraggler, type StragglerSummary, summariseStragglers, wakeStragglers } from '../store/stragglers.ts'
import type { LockWatch } from './lock-watch.ts'

/** Cursor of the straggler range at the end of a sweep. */
const sweepEnd = '0'
/** How often a sweep updates the run's reason. Milliseconds. */
const tellEveryMs = 1000

/** Sweeps over the stragglers of a run, and reports what they wait for. */
export class Sweep {
  readonly #control: Control
  readonly #watch: LockWatch
  #done = 0
  #left = 0
  #wide = false
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(control: Control, watch: LockWatch) {
    this.#control = control
    this.#watch = watch
  }

  /** Whether most of the last stragglers were held. Then one batch looks at many. */
  get wide(): boolean {
    return this.#wide
  }

  /** Call after a batch of stragglers. Returns the seconds to wait now; null if no straggler is left. */
  async passed({ cursor, scanned, left }: BatchResult, run: Run): Promise<number | null> {
    this.#wide = left > scanned
    this.#done += scanned
    this.#left += left
    const over = cursor?.[0] === sweepEnd
    if (!over && (left === 0 || performance.now() - this.#toldAt < tellEveryMs)) return 0
    const summary = await summariseStragglers(this.#control, run.id)
    if (summary.count > 0) await this.#tell(run, summary)
    if (!over) return 0
    const wait = Math.max(summary.waitSeconds, this.#left > this.#done ? sweepWait(summary.ageSeconds) : 0)
    this.#done = 0
    this.#left = 0
    if (summary.count === 0) return null
    if (wait <= 2 * stragglerBackoff.most) return wait
    // Longer than any wait: the database's clock has gone back since the time was written.
    await wakeStragglers(this.#control, [run.id])
    return 0
  }

  /** Reports how many rows wait, and for one of them what it waits for and which session holds that. */
  async #tell({ id, target }: Run, { count, oldest, sample }: StragglerSummary): Promise<void> {
    this.#toldAt = performance.now()
    if (this.#watch.due) await this.#watch.probe(target, sample)
    const { wait } = this.#watch
    const example =
      wait && (await isStraggler(this.#control, id, wait.key))
        ? `For instance key ${JSON.stringify(wait.key)} waits ${wait.words}.`
        : `For instance key ${JSON.stringify(sample[0])}. If no session holds it, a BEFORE trigger keeps the row from being changed.`
    await updateReason(
      this.#control,
      id,
      `${count} ${count === 1 ? 'row is' : 'rows are'} held by other sessions since ${oldest?.toISOString()}, or need a lock that they hold; each is tried again until it is free. ${example}`,
    )
  }
}
