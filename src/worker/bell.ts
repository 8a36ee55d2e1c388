import { waitSeconds } from '../util/sleep.ts'

/** Wakes a loop early. If it is rung while the loop is busy, the next wait ends at once. */
export class Bell {
  #rung = new AbortController()

  ring(): void {
    this.#rung.abort()
  }

  /** Waits at most `seconds`. Returns early when the bell is rung or the signal is aborted. */
  async wait(seconds: number, stop: AbortSignal): Promise<void> {
    await waitSeconds(seconds, AbortSignal.any([stop, this.#rung.signal]))
    if (this.#rung.signal.aborted) this.#rung = new AbortController()
  }
}
