import { spawn } from 'node:child_process'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ChildGuard } from '../../src/embedded/child-guard.ts'
import { findPrometheus } from '../../src/embedded/index.ts'
import { birth, end } from '../../src/embedded/os-process.mjs'
import { freePort } from '../../src/embedded/port.ts'
import { temporaryFolder } from '../../src/embedded/temporary.ts'
import { until } from '../until.ts'

/** The name of the scrape, and so the label `job` of all that it brings. */
export const installation = 'evenkeel'
/** Between two scrapes, and two looks at the rules. */
export const scrapeSeconds = 1

export interface Server {
  readonly url: string
  stop(): Promise<void>
}

interface Program {
  readonly binary: string | null
  readonly name: string
  readonly flags: (folder: string, port: number) => Readonly<Record<string, string>>
  readonly files: Readonly<Record<string, string>>
}

const steps = [['SIGTERM', 3000]] as const

/** In a folder of its own, both gone with the process that started it, however that goes. */
export async function launch({ binary, name, flags, files }: Program): Promise<Server> {
  if (binary === null) throw new Error(`no ${name} here: run \`node scripts/prometheus.mjs\``)
  const guard = new ChildGuard()
  let stop = () => guard.release()
  try {
    const folder = await temporaryFolder(`evenkeel-${name}`, null, guard)
    for (const [file, content] of Object.entries(files)) await writeFile(join(folder, file), content)
    const port = await freePort()
    const logFile = join(folder, 'log')
    const log = await open(logFile, 'w')
    const args = Object.entries(flags(folder, port)).map(([flag, value]) => `--${flag}=${value}`)
    const child = spawn(binary, args, { cwd: folder, detached: true, stdio: ['ignore', log.fd, log.fd] })
    await log.close()
    const { pid } = child
    if (pid === undefined) throw new Error(`${binary} cannot be started`)
    guard.watch({ pid, steps })
    const born = birth(pid)
    child.unref()
    stop = async () => {
      await end(pid, born, steps)
      await guard.release()
    }
    const url = `http://127.0.0.1:${port}`
    await until(`${name} to be ready`, async () => child.exitCode !== null || (await fetch(`${url}/-/ready`)).ok)
    if (child.exitCode !== null) throw new Error(`${name} ended: ${await readFile(logFile, 'utf8')}`)
    return { url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export type Labels = Readonly<Record<string, string>>
export type Point = readonly [time: number, value: string]

export interface Series {
  readonly metric: Labels
  readonly values: readonly Point[]
}

export interface Sample {
  readonly metric: Labels
  readonly value: Point
}

export interface Alert {
  readonly labels: Labels
  readonly annotations: Labels
  readonly state: 'pending' | 'firing'
}

/** From when to when, in Unix time, and how far apart. Seconds. */
export interface Span {
  readonly start: number
  readonly end: number
  readonly step: number
}

export interface PrometheusOptions {
  /** Where each process of the service is, by the name that it is to have as an instance. */
  readonly targets: Readonly<Record<string, string>>
  /** A file of rules, as text. */
  readonly rules: string
  readonly alertmanager?: string
}

export class Prometheus {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start({ targets, rules, alertmanager }: PrometheusOptions): Promise<Prometheus> {
    const interval = `${scrapeSeconds}s`
    const configuration = {
      global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
      rule_files: ['rules.yaml'],
      scrape_configs: [
        {
          job_name: installation,
          static_configs: Object.entries(targets).map(([instance, url]) => ({
            targets: [new URL(url).host],
            labels: { instance },
          })),
        },
      ],
      ...(alertmanager === undefined
        ? {}
        : { alerting: { alertmanagers: [{ static_configs: [{ targets: [new URL(alertmanager).host] }] }] } }),
    }
    const server = await launch({
      binary: await findPrometheus(),
      name: 'prometheus',
      // What is JSON is YAML.
      files: { 'prometheus.yaml': JSON.stringify(configuration), 'rules.yaml': rules },
      flags: (folder, port) => ({
        'config.file': join(folder, 'prometheus.yaml'),
        'storage.tsdb.path': join(folder, 'data'),
        'web.listen-address': `127.0.0.1:${port}`,
        'log.level': 'warn',
      }),
    })
    return new Prometheus(server)
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }

  /** The value of an expression now, or then. */
  async query(expr: string, time?: number): Promise<Sample[]> {
    const { result } = await this.#ask<{ result: Sample[] }>('query', {
      query: expr,
      ...(time === undefined ? {} : { time: String(time) }),
    })
    return result
  }

  async queryRange(expr: string, { start, end, step }: Span): Promise<Series[]> {
    const span = { start: String(start), end: String(end), step: String(step) }
    return (await this.#ask<{ result: Series[] }>('query_range', { query: expr, ...span })).result
  }

  /** The values of a label on the series of a selector. */
  labelValues(label: string, selector: string, { start, end }: Pick<Span, 'start' | 'end'>): Promise<string[]> {
    return this.#ask(`label/${label}/values`, { 'match[]': selector, start: String(start), end: String(end) })
  }

  /** Those that are pending or fire now. */
  async alerts(): Promise<Alert[]> {
    return (await this.#ask<{ alerts: Alert[] }>('alerts')).alerts
  }

  /** Resolves when every target has been scraped at least once more, and the rules were looked at after that. */
  async nextScrape(): Promise<void> {
    const asked = Date.now() / 1000
    const seen = async () => {
      const { activeTargets } = await this.#ask<{ activeTargets: { lastScrape: string }[] }>('targets')
      const { groups } = await this.#ask<{ groups: { lastEvaluation: string }[] }>('rules')
      const scraped = activeTargets.map(({ lastScrape }) => Date.parse(lastScrape) / 1000)
      return {
        scraped: Math.min(...scraped),
        looked: Math.min(...groups.map((group) => Date.parse(group.lastEvaluation) / 1000)),
      }
    }
    await until('the next scrape', seen, ({ scraped, looked }) => scraped > asked && looked > scraped)
  }

  async #ask<T>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<T> {
    const response = await fetch(`${this.#server.url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
    const answer = (await response.json()) as { status: string; data: T; error?: string }
    if (answer.status !== 'success') throw new Error(`${answer.error}: ${parameters.query ?? path}`)
    return answer.data
  }
}
