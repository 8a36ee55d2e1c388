import { readFile } from 'node:fs/promises'

const everyMs = 1000
const mebibyte = 1024

/** What a process held in memory over its life. MiB. */
export interface Memory {
  /** At the end of the first tenth of the time, when all that is loaded once is loaded. */
  readonly early: number
  readonly most: number
  readonly end: number
}

/** Looks at the memory of a process once a second. */
export class MemoryWatch {
  readonly #pid: number
  readonly #samples: number[] = []
  #timer: NodeJS.Timeout

  constructor(pid: number) {
    this.#pid = pid
    this.#timer = setInterval(() => void this.#look(), everyMs)
  }

  stop(): Memory {
    clearInterval(this.#timer)
    const early = this.#samples[Math.floor(this.#samples.length / 10)]
    const end = this.#samples.at(-1)
    if (early === undefined || end === undefined) throw new Error('the run was over before anybody looked')
    return { early, most: Math.max(...this.#samples), end }
  }

  async #look(): Promise<void> {
    const status = await readFile(`/proc/${this.#pid}/status`, 'utf8').catch(() => '')
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
    if (kibibytes !== undefined) this.#samples.push(Math.round(Number(kibibytes) / mebibyte))
  }
}
