import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../main.ts', import.meta.url))
const exitWithParent = new URL('./exit-with-parent.mjs', import.meta.url).href
const tsx = import.meta.resolve('tsx')
const jobsDir = fileURLToPath(new URL('../../../jobs', import.meta.url))

const startWithinSeconds = 60
const stopWithinSeconds = 6
const tailLines = 25

/** One process of the service. */
export interface ServiceProcess {
  readonly name: string
  readonly pid: number
  readonly url: string
  /** SIGKILL, as a power cut would end it. Resolves when it is gone. */
  kill(): Promise<void>
}

/** The processes of the service, started as `npm start` does. None outlives the demo. */
export class ServiceProcesses {
  readonly #env: Readonly<Record<string, string>>
  readonly #log: WriteStream
  readonly #children = new Map<ChildProcess, string>()
  readonly #expected = new Set<ChildProcess>()
  #tail: string[] = []
  #died: (error: Error) => void = () => {}
  /** Rejects when a process ends that was not told to. */
  readonly failure: Promise<never>

  constructor(logFile: string, env: Readonly<Record<string, string>>) {
    this.#env = env
    this.#log = createWriteStream(logFile, { flags: 'a' })
    // A full disk must not end the demo, so the last lines are also kept here.
    this.#log.on('error', () => {})
    this.failure = new Promise((_resolve, reject) => {
      this.#died = reject
    })
    this.failure.catch(() => {})
  }

  /** The last lines of output of all processes. */
  get tail(): readonly string[] {
    return this.#tail
  }

  async start(role: 'api' | 'worker', name: string, signal: AbortSignal): Promise<ServiceProcess> {
    const child = spawn(process.execPath, ['--import', exitWithParent, '--import', tsx, main], {
      // Variables of the user's shell (DATABASE_URL, NODE_OPTIONS …) are not meant for this process.
      env: { ...inherited(), ...this.#env, ROLE: role, HOST: '127.0.0.1', PORT: '0', JOBS_DIR: jobsDir },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#children.set(child, name)
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.once('error', (error) => this.#died(error))
    child.once('exit', (code, by) => {
      this.#children.delete(child)
      if (!this.#expected.has(child)) this.#died(new Error(`${name} ended by itself (${by ?? `exit code ${code}`})`))
    })
    const url = await this.#listens(child, name, signal)
    const kill = async () => {
      this.#expected.add(child)
      child.kill('SIGKILL')
      await gone
    }
    return { name, pid: child.pid as number, url, kill }
  }

  /** Ends all processes: asks, waits, then kills. */
  async stop(): Promise<void> {
    const all = [...this.#children.keys()]
    await Promise.all(
      all.map(async (child) => {
        this.#expected.add(child)
        if (child.exitCode !== null || child.signalCode !== null) return
        const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
        child.kill('SIGTERM')
        const late = setTimeout(() => child.kill('SIGKILL'), stopWithinSeconds * 1000)
        await gone
        clearTimeout(late)
      }),
    )
    await new Promise<void>((resolve) => this.#log.end(() => resolve()))
  }

  /** Waits for the log line with the process' URL. */
  async #listens(child: ChildProcess, name: string, signal: AbortSignal): Promise<string> {
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8')
      stream?.on('data', (chunk: string) => {
        this.#log.write(chunk)
        this.#tail = [...this.#tail, ...chunk.trimEnd().split('\n')].slice(-tailLines)
        output = output.length < 100_000 ? output + chunk : output
      })
    }
    const deadline = performance.now() + startWithinSeconds * 1000
    for (;;) {
      const url = /"url":"(http[^"]+)"/.exec(output)?.[1]
      if (url !== undefined) return url
      if (performance.now() > deadline) throw new Error(`${name} did not listen within ${startWithinSeconds} s`)
      await Promise.race([sleep(30, undefined, { signal }), this.failure])
    }
  }
}

function inherited(): Record<string, string> {
  const { PATH = '', TMPDIR } = process.env
  return { PATH, ...(TMPDIR ? { TMPDIR } : {}) }
}
