import { once } from 'node:events'
import { Child } from '../../tools/processes/child.ts'
import type { LoadOptions, LoadOrder, LoadReport } from './load-contract.ts'

const file = new URL('../load.ts', import.meta.url)

/** The process of load.ts, as seen from here. */
export class LoadProcess {
  readonly #child: Child

  private constructor(child: Child) {
    this.#child = child
  }

  /** Resolves when transactions flow. */
  static async start(options: LoadOptions): Promise<LoadProcess> {
    const load = new LoadProcess(new Child(file, [JSON.stringify(options)]))
    await load.#answer()
    return load
  }

  /** Rejects when it ends by itself. */
  get failure(): Promise<never> {
    return this.#child.failure
  }

  begin(): void {
    this.#order('begin')
  }

  /** Ends the load. Resolves once the last transaction that was due has ended, however long that takes. */
  end(): Promise<LoadReport> {
    const report = this.#answer() as Promise<LoadReport>
    report.catch(() => {})
    this.#order('end')
    return report
  }

  kill(): Promise<void> {
    return this.#child.kill()
  }

  #order(order: LoadOrder): void {
    this.#child.process.send(order)
  }

  async #answer(): Promise<unknown> {
    const [answer] = await Promise.race([once(this.#child.process, 'message'), this.#child.failure])
    return answer
  }
}
