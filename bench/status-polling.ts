import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { createClient } from '../src/client/client.ts'
import { startRun } from '../src/client/runs.ts'
import { sum } from '../src/core/statistics.ts'
import { startPostgres } from '../src/embedded/index.ts'
import { listens, startService } from '../tools/processes/service.ts'

const jobsDir = fileURLToPath(new URL('./endurance/jobs', import.meta.url))
const sockets = 20
/** Until what is measured is of this window alone. Milliseconds. */
const settleMs = 300

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '45000000' },
    rounds: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '2' },
    perMinute: { type: 'string', default: '10000' },
  },
})
const [rows, rounds, seconds, perMinute] = [values.rows, values.rounds, values.seconds, values.perMinute].map(
  Number,
) as [number, number, number, number]

/** Whom the poller asks: nobody; a server that does nothing, for what asking itself takes from the machine; the service. */
const arms = ['alone', 'elsewhere', 'asked'] as const
type Arm = (typeof arms)[number]

const idle = createServer((_request, response) => response.writeHead(429).end())
await new Promise<void>((resolve) => idle.listen(0, '127.0.0.1', resolve))
const idleUrl = `http://127.0.0.1:${(idle.address() as AddressInfo).port}/`

/**
 * What it does to a run's speed when its status is asked for all the time. One process does everything, as it comes. The poller
 * comes and goes within one run: from one run to the next a machine's own mood is more than what is looked for.
 */
const postgres = await startPostgres({ settings: { shared_buffers: '1GB', max_wal_size: '16GB' } })
try {
  await measure('as it comes: most calls are refused', {})
  await measure('every call is answered', { API_CALLS_PER_SECOND: String(perMinute) })
} finally {
  idle.close()
  await postgres.stop()
}

async function measure(title: string, settings: Readonly<Record<string, string>>): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.url, application_name: 'evenkeel bench' })
  await client.connect()
  await refill(client)
  const environment = { DATABASE_URL: postgres.url, JOBS_DIR: jobsDir, REPLICAS: 'none', PORT: '0', ...settings }
  const child = startService(environment)
  const answers: Record<string, number> = {}
  const speeds: Record<Arm, number>[] = []
  try {
    const api = await listens(child)
    const { id } = await startRun(createClient({ url: api }), { job: 'readings-double' })
    await untilFree(client)
    while (speeds.length < rounds) {
      const speed = await round(client, `${api}/runs/${id}`, speeds.length, answers)
      if (!speed) break
      speeds.push(speed)
      const shown = arms.map((arm) => `${arm} ${Math.round(speed[arm])} rows/s`)
      console.log(`${title}, ${speeds.length} of ${rounds}: ${shown.join(', ')}`)
    }
  } finally {
    await child.kill()
    await client.end()
  }
  if (speeds.length < rounds) console.log(`${title}: there is nothing left to write. More --rows last for more rounds.`)
  console.log(`${title}: ${JSON.stringify(answers)}`)
  for (const [one, other] of [
    ['asked', 'alone'],
    ['asked', 'elsewhere'],
    ['elsewhere', 'alone'],
  ] as const) {
    const logs = speeds.map((speed) => Math.log(speed[one] / speed[other]))
    const mean = sum(logs) / logs.length
    const error = Math.sqrt(sum(logs.map((log) => (log - mean) ** 2)) / (logs.length - 1) / logs.length)
    console.log(`  ${one} / ${other}: ${Math.exp(mean).toFixed(3)} ± ${error.toFixed(3)}`)
  }
}

/** A window of each arm, in rows per second; null where the run was over before. Adds the answers that the service gave, by their status. */
async function round(
  client: pg.Client,
  status: string,
  number: number,
  answers: Record<string, number>,
): Promise<Record<Arm, number> | null> {
  const speed = { alone: 0, elsewhere: 0, asked: 0 }
  // In turns, the first of them by turns as well: what comes and goes, and what grows, falls on all.
  for (const place of arms.keys()) {
    const arm = arms[(place + number) % arms.length] as Arm
    const poller = arm === 'alone' ? null : poll(arm === 'elsewhere' ? idleUrl : status)
    await sleep(settleMs)
    const before = await rowsDone(client)
    await sleep(seconds * 1000)
    const after = await rowsDone(client)
    const got = Object.entries(poller?.stop() ?? {})
    if (!before || !after) return null
    speed[arm] = (after.rows - before.rows) / (after.at - before.at)
    if (arm === 'asked') for (const [what, count] of got) answers[what] = (answers[what] ?? 0) + count
  }
  return speed
}

async function refill(client: pg.Client): Promise<void> {
  await client.query('DROP SCHEMA IF EXISTS evenkeel CASCADE; DROP SCHEMA IF EXISTS evenkeel_queue CASCADE')
  await client.query('DROP TABLE IF EXISTS readings')
  await client.query('CREATE TABLE readings (id bigint PRIMARY KEY, value int NOT NULL, doubled int)')
  await client.query('INSERT INTO readings SELECT n, n % 1000 FROM generate_series(1, $1::int) AS n', [rows])
  await client.query('VACUUM (ANALYZE) readings')
  await client.query('CHECKPOINT')
}

/** By the checkpoints, at a time of the database's clock in seconds; null where nothing is written any more. */
async function rowsDone(client: pg.Client): Promise<{ rows: number; at: number } | null> {
  const { rows } = await client.query<{ status: string; rows: number; at: number }>(
    `SELECT r.status, sum(g.rows_done)::float8 AS rows, extract(epoch FROM clock_timestamp())::float8 AS at
     FROM evenkeel.runs r JOIN evenkeel.ranges g ON g.run_id = r.id GROUP BY r.id`,
  )
  const [run] = rows
  return run?.status === 'running' ? run : null
}

/** The pace grows at the start, and that is not what is looked for. */
async function untilFree(client: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ free: boolean }>(
      `SELECT coalesce((state->>'concurrency')::float8, 0) >= 1 AS free FROM evenkeel.pace`,
    )
    if (rows[0]?.free) return
    await sleep(500)
  }
}

/**
 * Asks at an even rate, whether answers come or not: as bare as can be, for what the poller takes of the machine is not what is
 * looked for. Each socket carries one call at a time; where none is free, a call waits for the next that is.
 */
function poll(url: string) {
  const { hostname, port, pathname } = new URL(url)
  const request = `GET ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\n\r\n`
  const answers: Record<string, number> = {}
  const free: Socket[] = []
  const open = Array.from({ length: sockets }, () => {
    const socket = connect(Number(port), hostname, () => free.push(socket))
    // One that breaks is not used again, and calls that it would have carried are missing in what was sent.
    socket.on('error', () => undefined)
    return socket.setEncoding('latin1').on('data', (answer: string) => {
      // An answer of this size comes in one piece, or the rest of it does not begin with its status.
      const status = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]
      if (status === undefined) return
      answers[status] = (answers[status] ?? 0) + 1
      free.push(socket)
    })
  })
  const began = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - began) / 60_000) * perMinute
    for (let socket = free.shift(); socket; socket = free.shift()) {
      if (sent >= due) return void free.unshift(socket)
      socket.write(request)
      sent += 1
    }
  }, 6)
  return {
    stop() {
      clearInterval(timer)
      for (const socket of open) socket.destroy()
      return { ...answers, sent }
    },
  }
}
