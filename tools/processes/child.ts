import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const exitWithParent = new URL('../../src/cli/demo/exit-with-parent.mjs', import.meta.url).href
const imports = ['--import', exitWithParent, '--import', import.meta.resolve('tsx')]
const tailLength = 4000

/** A process of ours that runs a TypeScript file, and that is gone when we are, however we went. */
export class Child {
  readonly process: ChildProcess
  #gone: Promise<void>
  #expected = false
  #output = ''
  /** Rejects when it ends without having been told to. */
  readonly failure: Promise<never>

  constructor(file: URL, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.process = spawn(process.execPath, [...imports, fileURLToPath(file), ...args], {
      // What the shell has set for a service of its own (DATABASE_URL, NODE_OPTIONS …) is not meant for this one.
      env: { PATH: process.env.PATH ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output = (this.#output + chunk).slice(-tailLength)
      })
    }
    this.#gone = new Promise((resolve) => this.process.once('exit', () => resolve()))
    this.failure = new Promise((_resolve, reject) => {
      this.process.once('error', reject)
      this.process.once('exit', (code, by) => {
        if (!this.#expected)
          reject(new Error(`${file.pathname.split('/').at(-1)} ended (${by ?? code}): ${this.output}`))
      })
    })
    this.failure.catch(() => {})
  }

  /** The last of what it said. */
  get output(): string {
    return this.#output
  }

  /** SIGKILL: the database it worked on is thrown away, so that there is nothing it should put in order. */
  async kill(): Promise<void> {
    this.#expected = true
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill('SIGKILL')
    await this.#gone
  }
}
