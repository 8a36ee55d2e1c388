import type { Observe } from '../../src/core/run/observe.ts'
import { until } from './until.ts'

/** Lets the workers of a service do so many batches, and keeps them before the next one until it is opened. */
export class Gate {
  open: () => void = () => undefined
  readonly #opened = new Promise<void>((resolve) => {
    this.open = resolve
  })
  #left: number
  #kept = 0

  constructor(batches: number) {
    this.#left = batches
  }

  readonly observe: Observe = async () => {
    this.#left -= 1
    if (this.#left >= 0) return
    this.#kept += 1
    await this.#opened
  }

  /** Waits until a worker is kept: its run has begun, and does not go on. */
  async untilShut(): Promise<void> {
    await until('a worker to be kept before its next batch', () => this.#kept > 0)
  }
}
