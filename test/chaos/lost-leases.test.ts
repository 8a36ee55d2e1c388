import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, inject, onTestFinished, test } from 'vitest'
import { openQueue } from '../../src/queue/queue.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { startProxy } from '../support/proxy.ts'
import {
  type Client,
  jobsFolder,
  patient,
  queueKind,
  type SpawnedService,
  spawnService,
  startInProcess,
  unpaced,
} from '../support/service.ts'
import { isNightly } from '../support/tier.ts'
import { until } from '../support/until.ts'

/** What has nothing to do with the queue. */
const ofEngine = test.runIf(queueKind === 'postgres' || isNightly)

const rows = 20_000
const worker = { ROLE: 'worker' }
/** So that there is still something to do when all has happened, on a slow machine too. */
const slowly = { options: { maxRowsPerSecond: 600, batchSize: 20 } }

async function untilLost(database: TestDatabase, { process: { pid } }: SpawnedService): Promise<void> {
  await until(`process ${pid} to have lost a range`, () =>
    database.value<boolean>(
      "SELECT EXISTS (SELECT FROM evenkeel.events WHERE kind = 'rescued' AND detail->>'lostBy' LIKE '%-' || $1)",
      [String(pid)],
    ),
  )
}

async function untilHolds(database: TestDatabase, { process: { pid } }: SpawnedService): Promise<void> {
  await until(`process ${pid} to hold a range`, () =>
    database.value<boolean>("SELECT EXISTS (SELECT FROM evenkeel.ranges WHERE lease_owner LIKE '%-' || $1)", [
      String(pid),
    ]),
  )
}

async function finish(client: Client, database: TestDatabase, id: string): Promise<void> {
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null, batchSize: 500 })
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: rows, rowsScanned: rows })
  await expectTouchedOnce(database, rows)
}

ofEngine('a worker whose only thread is busy for longer than its lease changes nothing more under it', async () => {
  const database = await createDatabase()
  await createItems(database, rows)
  const jobs = await jobsFolder({})
  const [busyFlag, freeFlag] = [join(jobs, 'busy'), join(jobs, 'free')]
  // The job's own code is what keeps the thread: the parameters are read at the beginning of each slice.
  await writeFile(
    join(jobs, 'count.ts'),
    `import { existsSync, rmSync } from 'node:fs'
import { defineJob, sql } from 'evenkeel'
import { z } from 'zod'
const params = z.object({}).superRefine(() => {
  if (process.env.BUSY !== 'yes' || !existsSync(${JSON.stringify(busyFlag)})) return
  rmSync(${JSON.stringify(busyFlag)})
  for (const end = performance.now() + 60_000; performance.now() < end && !existsSync(${JSON.stringify(freeFlag)}); );
})
export default defineJob({ name: 'count', table: 'items', params, options: ${JSON.stringify(unpaced)}, set: () => ({ touched: sql\`touched + 1\` }) })
`,
  )
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', { options: { ...slowly.options, parallelism: 4 } })
  const busy = await spawnService(database, jobs, { ...worker, BUSY: 'yes' })
  await untilDone(database, 100)
  await writeFile(busyFlag, '')
  await until('its thread to be kept', () => !existsSync(busyFlag))
  await startInProcess(database, jobs, worker)
  await untilLost(database, busy)
  await writeFile(freeFlag, '')
  await untilDone(database, await countDone(database))
  await until('it to find that its ranges are gone', () => busy.output().includes('fence shut'))
  await finish(client, database, id)
})

ofEngine('a worker whose clock jumps by hours keeps its ranges, and takes none from others', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const clock = pathToFileURL(join(import.meta.dirname, '../support/clock.mjs')).href
  // Within a window of time that both jumps leave.
  const hour = new Date().getUTCHours()
  const open = [0, 1, 2].map((hours) => (hour + hours) % 24).join(',')
  const schedule = { cron: `* ${open} * * *`, timeZone: 'UTC' }
  const id = await client.start('count', {
    options: { maxRowsPerSecond: 600, batchSize: 20, parallelism: 4, schedule },
  })
  const jumping = await spawnService(database, jobs, {
    ...worker,
    ...patient,
    NODE_OPTIONS: `--import ${clock}`,
  })
  const steady = await spawnService(database, jobs, { ...worker, ...patient })
  await untilHolds(database, jumping)
  await untilHolds(database, steady)
  for (let jump = 1; jump <= 4; jump += 1) {
    jumping.process.kill('SIGUSR2')
    await until('the clock to have jumped', () => jumping.output().split('it is ').length > jump)
    await untilDone(database, (await countDone(database)) + 300)
    await untilHolds(database, jumping)
    await untilHolds(database, steady)
  }
  const count = (kinds: string[]) =>
    database.value<number>('SELECT count(*)::int FROM evenkeel.events WHERE kind = ANY($1)', [kinds])
  expect(await count(['held', 'released'])).toBe(0)
  // By its own clock it would take every range, each second. One may be lost where the machine has no time for us.
  expect(await count(['rescued'])).toBeLessThan(4)
  await finish(client, database, id)
})

ofEngine('a worker that Postgres does not answer for longer than its lease changes nothing more under it', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  const proxy = await startProxy(database.url)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', slowly)
  const away = await spawnService({ url: proxy.url }, jobs, worker)
  await untilDone(database, 500)
  proxy.blackhole()
  await startInProcess(database, jobs, worker)
  await untilLost(database, away)
  // Each of its four slots may take one ticket before it takes none, and each is waited for as long as a lease and its grace.
  await untilDone(database, await countDone(database))
  // What was on its way arrives now.
  proxy.heal()
  await untilHolds(database, away)
  await finish(client, database, id)
})

test.runIf(queueKind === 'redis')(
  'tickets in the hand of a worker that Postgres does not answer are not lost',
  async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, rows)
    const proxy = await startProxy(database.url)
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const away = await spawnService({ url: proxy.url }, jobs, worker)
    const id = await client.start('count', slowly)
    await untilHolds(database, away)
    await client.call('POST', `/runs/${id}/pause`)
    await client.reaches(id, ['paused'])
    proxy.blackhole()
    await client.call('POST', `/runs/${id}/resume`)
    // It is the only one to take them.
    await until('the tickets to be in its hand', async () => {
      const { body } = await client.call<string>('GET', '/metrics')
      return /tickets\{state="waiting"\} 0/.test(body) && /tickets\{state="active"\} [1-9]/.test(body)
    })
    await startInProcess(database, jobs, worker)
    await finish(client, database, id)
  },
)

test.runIf(queueKind === 'redis')(
  'a worker that does not reach Postgres takes no more tickets than it has slots',
  async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 10)
    const proxy = await startProxy(database.url)
    const away = await spawnService({ url: proxy.url }, jobs, worker)
    const queue = openQueue({
      location: { kind: 'redis', url: inject('redisUrl') as string },
      instance: await database.value<string>('SELECT id FROM evenkeel.instance'),
      onError: () => undefined,
    })
    onTestFinished(() => queue.close())
    proxy.refuse()
    proxy.cut()
    await queue.put(
      Array.from({ length: 6 }, (_, ordinal) => ({
        id: `gone-1.${ordinal}.aa`,
        runId: 'gone-1',
        ordinal,
        delaySeconds: 0,
      })),
    )
    await until('four slices to have failed', () => away.output().split('slice ended before').length > 4)
    expect(await queue.depth()).toEqual({ waiting: 2, delayed: 0, active: 4 })
    proxy.heal()
    await until('the slots to be free again', async () => {
      const { waiting, active } = await queue.depth()
      return waiting + active === 0
    })
  },
)

test('a worker that the queue does not answer goes on with what it has, and its run is not lost', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  let silent = false
  const redisUrl = inject('redisUrl')
  const proxy =
    queueKind === 'redis' && redisUrl
      ? await startProxy(redisUrl)
      : await startProxy(database.url, (_, { application }) =>
          silent && application === 'evenkeel queue' ? 'hold' : 'pass',
        )
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', slowly)
  const cutOff = await spawnService(
    queueKind === 'redis' ? database : { url: proxy.url },
    jobs,
    // What it has are its slices: these must not be over at once.
    { ...worker, ...patient, ...(queueKind === 'redis' && { REDIS_URL: proxy.url }) },
  )
  await untilDone(database, 500)
  silent = true
  if (queueKind === 'redis') proxy.blackhole()
  await untilDone(database, (await countDone(database)) + 200)
  await startInProcess(database, jobs, worker)
  await finish(client, database, id)
  cutOff.process.kill('SIGTERM')
  await until('it to end', () => cutOff.process.exitCode !== null, Boolean)
})
