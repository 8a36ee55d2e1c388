import { once } from 'node:events'
import { Child } from '../../tools/processes/child.ts'
import type { Afterwards, Backfill } from './backfill.ts'

const file = new URL('../loop.ts', import.meta.url)

export interface LoopOptions {
  readonly databaseUrl: string
  /** Of the loop, in loops.ts. */
  readonly name: string
  /** The application_name of its session. */
  readonly sessions: string
}

/** The process of loop.ts, as seen from here. */
export class LoopProcess implements Backfill {
  readonly #child: Child

  private constructor(child: Child) {
    this.#child = child
  }

  /** Resolves when it is connected. */
  static async start(options: LoopOptions): Promise<LoopProcess> {
    const loop = new LoopProcess(new Child(file, [JSON.stringify(options)]))
    await loop.#answer()
    return loop
  }

  get pid(): number {
    return this.#child.process.pid as number
  }

  get failure(): Promise<never> {
    return this.#child.failure
  }

  async write(): Promise<number> {
    const began = performance.now()
    const written = this.#answer()
    this.#child.process.send('begin')
    await written
    return (performance.now() - began) / 1000
  }

  async afterwards(): Promise<Afterwards> {
    return { steadyRowsPerSecond: null, checkSeconds: null }
  }

  kill(): Promise<void> {
    return this.#child.kill()
  }

  async #answer(): Promise<void> {
    await Promise.race([once(this.#child.process, 'message'), this.#child.failure])
  }
}
