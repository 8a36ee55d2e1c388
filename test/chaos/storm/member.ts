import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../support/until.ts'

const exitWithParent = new URL('../../../src/cli/demo/exit-with-parent.mjs', import.meta.url).href
const clock = new URL('./clock.mjs', import.meta.url).href

/** On a machine that has much else to do, too. */
const startWithinSeconds = 240
const drainWithinSeconds = 30
const tailLength = 2000

/** One process of the service: killed, it can be started again under the same name. None outlives us, however we go. */
export class Member {
  readonly name: string
  readonly #program: string
  readonly #env: Readonly<Record<string, string>>
  readonly #log: WriteStream
  #child: ChildProcess | null = null
  #url: string | null = null
  /** The child whose end is no surprise. */
  #dismissed: ChildProcess | null = null
  #tail = ''
  #surprise: string | null = null

  constructor(name: string, program: string, folder: string, env: Readonly<Record<string, string>>) {
    this.name = name
    this.#program = program
    this.#env = env
    this.#log = createWriteStream(join(folder, `${name.replace(' ', '-')}.log`))
  }

  /** Where it listens; null while it does not. */
  get url(): string | null {
    return this.#url
  }

  /** What it said last, where it has ended by itself: no fault is a reason for that. */
  get surprise(): string | null {
    return this.#surprise
  }

  /** Starts it where it does not run, and returns when it listens. One that finds no database says so and ends: then again. */
  async start(): Promise<void> {
    await until(`${this.name} to listen`, () => this.#listens(), Boolean, startWithinSeconds)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Puts its wall clock off by so many milliseconds. */
  putClockOff(milliseconds: number): void {
    if (this.#child?.connected) this.#child.send(milliseconds, () => undefined)
  }

  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** SIGTERM, and waits until it has drained. */
  drain(): Promise<void> {
    return this.#end('SIGTERM')
  }

  async close(): Promise<void> {
    await this.kill()
    await new Promise<void>((resolve) => this.#log.end(() => resolve()))
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (!child) return
    this.#dismissed = child
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), drainWithinSeconds * 1000)
    while (this.#child === child) await sleep(5)
    clearTimeout(late)
  }

  #listens(): boolean {
    if (!this.#child) this.#spawn()
    return this.#url !== null
  }

  #spawn(): void {
    const child = spawn(process.execPath, ['--import', exitWithParent, '--import', clock, this.#program], {
      env: { PATH: process.env.PATH ?? '', ...this.#env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child = child
    this.#tail = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (said: string) => {
        this.#log.write(said)
        this.#tail = (this.#tail + said).slice(-tailLength)
        this.#url ??= /"url":"(http[^"]+)"/.exec(said)?.[1] ?? null
      })
    }
    child.once('exit', (code, by) => {
      if (this.#url !== null && this.#dismissed !== child)
        this.#surprise = `${this.name} ended by itself (${by ?? `exit code ${code}`}): ${this.#tail}`
      this.#child = null
      this.#url = null
    })
  }
}
