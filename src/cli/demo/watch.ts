import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, RunView } from './client.ts'
import type { Screen } from './screen.ts'

const everyMs = 200
const stalledAfterSeconds = 60

/** Shows the progress of a run until the demo goes on. */
export class Watch {
  readonly #client: Client
  readonly #screen: Screen
  readonly #failure: Promise<never>
  readonly #signal: AbortSignal
  readonly id: string

  constructor(client: Client, screen: Screen, failure: Promise<never>, signal: AbortSignal, id: string) {
    this.#client = client
    this.#screen = screen
    this.#failure = failure
    this.#signal = signal
    this.id = id
  }

  /** Waits until `met` is true. Throws when the run ends otherwise, when nothing moves, or when a process dies. */
  async until(what: string, met: (run: RunView) => boolean | Promise<boolean>): Promise<RunView> {
    let movedAt = performance.now()
    let last = ''
    for (;;) {
      const run = await this.#client.run(this.id)
      this.#screen.progress(run)
      if (await met(run)) return run
      if (['failed', 'cancelled', 'succeeded'].includes(run.status)) {
        throw new Error(`the run is ${run.status} while the demo waits for ${what}: ${run.reason ?? 'no reason'}`)
      }
      const now = `${run.status} ${run.progress.rowsScanned} ${run.progress.rowsDone} ${run.progress.stragglers}`
      if (now !== last) movedAt = performance.now()
      last = now
      if (performance.now() - movedAt > stalledAfterSeconds * 1000) {
        throw new Error(`nothing has moved for ${stalledAfterSeconds} s while the demo waits for ${what}: ${now}`)
      }
      await this.pause(everyMs)
    }
  }

  /** Waits for a time. Ends early when a process dies or the demo is interrupted. */
  async pause(ms: number): Promise<void> {
    await Promise.race([sleep(ms, undefined, { signal: this.#signal }), this.#failure])
  }
}
