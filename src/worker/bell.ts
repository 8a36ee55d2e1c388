import { waitSeconds } from '../util/sleep.ts'

/** Wakes a loop before its time. Rung while the loop is busy, it ends the next wait at once. */
export class Bell {
  #rung = new AbortController()

  ring(): void {
    this.#rung.abort()
  }

  /** Waits, at most so many seconds, until it is rung or the signal says stop. */
  async wait(seconds: number, stop: AbortSignal): Promise<void> {
    await waitSeconds(seconds, AbortSignal.any([stop, this.#rung.signal]))
    if (this.#rung.signal.aborted) this.#rung = new AbortController()
  }
}
