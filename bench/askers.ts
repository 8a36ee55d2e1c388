import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { startPostgres } from '../src/embedded/index.ts'
import { call, listens } from './peers/evenkeel.ts'
import { Child } from './support/child.ts'
import { median } from './support/statistics.ts'

const main = new URL('../src/main.ts', import.meta.url)
const jobsDir = fileURLToPath(new URL('./endurance/jobs', import.meta.url))
const pollMs = 500

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '2000000' },
    rounds: { type: 'string', default: '3' },
    perMinute: { type: 'string', default: '10000' },
  },
})
const [rows, rounds, perMinute] = [values.rows, values.rounds, values.perMinute].map(Number) as [number, number, number]

/**
 * Whom the asker asks: nobody; a server that does nothing, for what asking itself takes from the machine; the service, which answers
 * as many as it allows a caller; or one that allows it all of them.
 */
const arms = ['alone', 'elsewhere', 'asked', 'served'] as const
type Arm = (typeof arms)[number]

const idle = createServer((_request, response) => response.writeHead(429).end())
await new Promise<void>((resolve) => idle.listen(0, '127.0.0.1', resolve))
const idleUrl = `http://127.0.0.1:${(idle.address() as AddressInfo).port}/`

/** What it does to a run's speed when its status is asked for all the time. One process does everything, as it comes. */
const postgres = await startPostgres({ settings: { shared_buffers: '1GB', max_wal_size: '8GB' } })
try {
  const speeds: Record<Arm, number[]> = { alone: [], elsewhere: [], asked: [], served: [] }
  for (let round = 0; round < rounds; round += 1) {
    // In turns, the first of them by turns as well: what the machine does besides falls on both.
    for (const place of arms.keys()) {
      const arm = arms[(place + round) % arms.length] as Arm
      await refill(postgres.url)
      const { rowsPerSecond, answers } = await turn(postgres.url, arm)
      speeds[arm].push(rowsPerSecond)
      console.log(`${arm}: ${Math.round(rowsPerSecond)} rows/s ${JSON.stringify(answers)}`)
    }
  }
  const ratio = (one: Arm, other: Arm) => (median(speeds[one]) / median(speeds[other])).toFixed(3)
  console.log(`asked ${perMinute} times a minute / alone: ${ratio('asked', 'alone')}`)
  console.log(`asked / the same calls to a server that does nothing: ${ratio('asked', 'elsewhere')}`)
  console.log(`each of them answered / alone: ${ratio('served', 'alone')}`)
} finally {
  idle.close()
  await postgres.stop()
}

async function refill(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'evenkeel bench' })
  await client.connect()
  await client.query('DROP SCHEMA IF EXISTS evenkeel CASCADE; DROP TABLE IF EXISTS readings')
  await client.query('CREATE TABLE readings (id bigint PRIMARY KEY, value int NOT NULL, doubled int)')
  await client.query('INSERT INTO readings SELECT n, n % 1000 FROM generate_series(1, $1::int) AS n', [rows])
  await client.query('VACUUM (ANALYZE) readings')
  await client.query('CHECKPOINT')
  await client.end()
}

/** A run from its start to the moment from which it is verified, by its own events; and the answers by their status. */
async function turn(databaseUrl: string, arm: Arm) {
  const allowed = arm === 'served' ? { API_CALLS_PER_SECOND: String(perMinute) } : {}
  const environment = { DATABASE_URL: databaseUrl, JOBS_DIR: jobsDir, REPLICAS: 'none', PORT: '0', ...allowed }
  const child = new Child(main, [], environment)
  try {
    const api = await listens(child)
    const began = Date.now()
    const { id } = await call(api, '/runs', { job: 'readings-double' })
    const asker = arm === 'alone' ? null : ask(arm === 'elsewhere' ? idleUrl : `${api}/runs/${id}`)
    const ended = await verifiedAt(api, id)
    return { rowsPerSecond: rows / ((ended - began) / 1000), answers: asker?.stop() ?? {} }
  } finally {
    await child.kill()
  }
}

/** Asks at an even rate, whether answers come or not. */
function ask(url: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: 20 })
  const answers: Record<string, number> = {}
  const count = (what: string) => (answers[what] = (answers[what] ?? 0) + 1)
  const began = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    for (const due = ((performance.now() - began) / 60_000) * perMinute; sent < due; sent += 1) {
      get(url, { agent }, (response) => {
        count(String(response.statusCode))
        response.resume()
      }).on('error', () => count('failed'))
    }
  }, 6)
  return {
    stop() {
      clearInterval(timer)
      agent.destroy()
      return { ...answers, sent }
    },
  }
}

async function verifiedAt(api: string, id: string): Promise<number> {
  for (;;) {
    // The asker has used up what this address may ask: the run's own event says when it was.
    await sleep(pollMs)
    const response = await fetch(`${api}/runs/${id}/events?limit=1000`)
    if (response.status === 429) continue
    const { events } = (await response.json()) as { events: ReadonlyArray<{ kind: string; at: string }> }
    if (events.some(({ kind }) => kind === 'fail')) throw new Error('the run has failed')
    const verify = events.find(({ kind }) => kind === 'verify')
    if (verify) return Date.parse(verify.at)
  }
}
