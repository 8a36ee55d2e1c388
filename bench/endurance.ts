import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { type ApiClient, createClient } from '../src/client/client.ts'
import { getRun, startRun } from '../src/client/runs.ts'
import { type EmbeddedPostgres, startPostgres } from '../src/embedded/index.ts'
import type { Child } from '../tools/processes/child.ts'
import { listens, startService } from '../tools/processes/service.ts'
import { MemoryWatch } from './endurance/memory.ts'
import { type Tail, watchTail } from './endurance/tail.ts'

const jobsDir = fileURLToPath(new URL('./endurance/jobs', import.meta.url))
const pollMs = 500
/** Tickets that one process works on at once. */
const slots = 4

const { values } = parseArgs({ options: { rows: { type: 'string', default: '10000000' } } })
const rows = Number(values.rows)

/** What a long run costs the service in memory, and how long its workers are idle at the end. */
const postgres = await startPostgres({ settings: { shared_buffers: '1GB', max_wal_size: '8GB' } })
try {
  await fill(postgres)
  const { early, most, end } = await memoryOfRun(postgres)
  console.log(`${rows} rows: ${early} MiB early, ${most} MiB at most, ${end} MiB at the end`)
  const tail = await tailOfRun(postgres)
  console.log(
    `16 workers, a tenth of the keys with all the work: ${tail.whole.toFixed(1)} s, ${tail.rangesPlanned} ranges planned, ${tail.ranges} at the end; ` +
      `some worker was idle for the last ${tail.idle.toFixed(2)} s (${((100 * tail.idle) / tail.whole).toFixed(1)} %)`,
  )
} finally {
  await postgres.stop()
}

async function fill({ url }: EmbeddedPostgres): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'evenkeel bench' })
  await client.connect()
  await client.query('CREATE TABLE readings (id bigint PRIMARY KEY, value int NOT NULL, doubled int)')
  await client.query('INSERT INTO readings SELECT n, n % 1000 FROM generate_series(1, $1::int) AS n', [rows])
  await client.query('VACUUM (ANALYZE) readings')
  await client.end()
}

function service(databaseUrl: string, role: string): Child {
  return startService({ DATABASE_URL: databaseUrl, JOBS_DIR: jobsDir, REPLICAS: 'none', ROLE: role, PORT: '0' })
}

async function memoryOfRun({ url }: EmbeddedPostgres) {
  const child = service(url, 'both')
  try {
    const client = createClient({ url: await listens(child) })
    const { id } = await startRun(client, { job: 'readings-double' })
    const watch = new MemoryWatch(child.process.pid as number)
    await untilSucceeded(client, id)
    return watch.stop()
  } finally {
    await child.kill()
  }
}

async function tailOfRun({ url }: EmbeddedPostgres): Promise<Tail> {
  const client = new pg.Client({ connectionString: url, application_name: 'evenkeel bench' })
  await client.connect()
  await client.query('DROP SCHEMA evenkeel CASCADE')
  await client.query('UPDATE readings SET doubled = NULL WHERE id > $1::int * 0.9', [rows])
  await client.query('VACUUM (ANALYZE) readings')
  await client.end()
  const processes = [service(url, 'api'), ...Array.from({ length: 16 / slots }, () => service(url, 'worker'))]
  try {
    const [apiUrl] = await Promise.all(processes.map(listens))
    const api = createClient({ url: apiUrl as string })
    const { id } = await startRun(api, { job: 'readings-tenth', options: { parallelism: 16 } })
    const tail = await watchTail(url, 16)
    await untilSucceeded(api, id)
    return tail
  } finally {
    await Promise.all(processes.map((process) => process.kill()))
  }
}

async function untilSucceeded(client: ApiClient, id: string): Promise<void> {
  for (;;) {
    const { status, reason } = await getRun(client, id)
    if (status === 'succeeded') return
    if (!['queued', 'running', 'verifying'].includes(status)) throw new Error(`the run is ${status}: ${reason}`)
    await sleep(pollMs)
  }
}
