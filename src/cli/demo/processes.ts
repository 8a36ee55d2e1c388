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
  /** As the power cut would: SIGKILL, and waits until it is gone. */
  kill(): Promise<void>
}

/** The processes of the service, started as `npm start` would start them; none of them outlives us. */
export class ServiceProcesses {
  readonly #env: Readonly<Record<string, string>>
  readonly #log: WriteStream
  readonly #children = new Map<ChildProcess, string>()
  readonly #expected = new Set<ChildProcess>()
  #tail: string[] = []
  #died: (error: Error) => void = () => {}
  /** Rejects when one of them ends that was not told to. */
  readonly failure: Promise<never>

  constructor(logFile: string, env: Readonly<Record<string, string>>) {
    this.#env = env
    this.#log = createWriteStream(logFile, { flags: 'a' })
    // A disk that is full must not end the demo: the last lines are kept here besides.
    this.#log.on('error', () => {})
    this.failure = new Promise((_resolve, reject) => {
      this.#died = reject
    })
    this.failure.catch(() => {})
  }

  /** The last lines that any of them said. */
  get tail(): readonly string[] {
    return this.#tail
  }

  async start(role: 'api' | 'worker', name: string, signal: AbortSignal): Promise<ServiceProcess> {
    const child = spawn(process.execPath, ['--import', exitWithParent, '--import', tsx, main], {
      // What the shell has set for a service of its own (DATABASE_URL, NODE_OPTIONS …) is not meant for this one.
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

  /** Ends them all: asks, waits, and then does not ask any more. */
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

  /** Waits for the line in which it says where it listens. */
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
