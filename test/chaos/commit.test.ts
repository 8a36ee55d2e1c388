import { expect, test } from 'vitest'
import type { Run } from '../../src/client/openapi.ts'
import { type Cut, Cutter, cutsAround, type Moment, moments, phaseOf, verdictOf } from '../support/cuts.ts'
import { createDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { startProxy } from '../support/proxy.ts'
import { seed } from '../support/seed.ts'
import { type Answer, type Client, jobSource, jobsFolder, startInProcess } from '../support/service.ts'
import { inTurn, perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

/** Each cut costs a connection and a plan. */
const cuts = perCommit(10, { nightly: 100 })

/** The run has counted each row once, as a whole and in its ranges. */
async function expectCounted(client: Client, id: string, rows: number): Promise<void> {
  expect((await client.run(id)).proof).toMatchObject({ rowsDone: rows, rowsScanned: rows, rowsGone: 0 })
  const ranges = await client.ranges(id)
  const sum = (phase: string, of: 'rowsDone' | 'rowsScanned') =>
    ranges.filter((range) => range.phase === phase).reduce((total, range) => total + range[of], 0)
  expect(sum('keys', 'rowsScanned')).toBe(rows)
  expect(sum('residual', 'rowsScanned')).toBe(rows)
  expect(sum('keys', 'rowsDone') + sum('stragglers', 'rowsDone')).toBe(rows)
}

test.each(inTurn(['touch', 'count'], 1))(
  'batches of %s whose connection is cut before, during and after their commit, again and again',
  async (job) => {
    // Enough for sixteen ranges: a range waits a moment after each cut.
    const rows = 800 * cuts
    const held = rows / 10
    const database = await createDatabase()
    const jobs = await createItems(database, rows)
    const looks: Array<Promise<Array<{ moment: Moment; stillTheirs: boolean; isThere: boolean }>>> = []
    const cutter = new Cutter({
      application: 'evenkeel engine',
      kindOf: phaseOf,
      times: { keys: cuts, stragglers: cuts / 10, residual: cuts / 10 },
      oneIn: 2,
      onCut(kind, moment, [runId, ordinal, epoch, cursor]) {
        if (kind !== 'keys' || moment === 'during') return
        const range = database.query<{ stillTheirs: boolean; isThere: boolean }>(
          `SELECT epoch = $3::bigint AS "stillTheirs", done OR cursor IS DISTINCT FROM $4::text[] AS "isThere"
           FROM evenkeel.ranges WHERE run_id = $1 AND ordinal = $2::int`,
          [runId, ordinal, epoch, cursor],
        )
        looks.push(range.then((found) => found.map((look) => ({ moment, ...look }))))
      },
    })
    const proxy = await startProxy(database.url, cutter.watch)
    const other = await database.session()
    await other.query('BEGIN')
    await other.query('SELECT FROM items WHERE id % $1 = 0 FOR UPDATE', [rows / held])
    const client = await startInProcess(proxy, jobs)
    const id = await client.start(job, { options: { parallelism: 16, batchSize: 100 } })
    await until(
      'only held rows to be left',
      () => client.run(id),
      ({ progress }) => progress.rowsDone >= rows - held,
    )
    await other.query('COMMIT')
    await client.reaches(id, ['succeeded'])
    expect(cutter.isDone).toBe(true)
    // Seen right after each cut, as long as nobody else had the range: whether the batch was there.
    const seen = (await Promise.all(looks)).flat().filter(({ stillTheirs }) => stillTheirs)
    for (const moment of ['before', 'after'] as const) {
      const there = seen.filter((look) => look.moment === moment).map(({ isThere }) => isThere)
      expect(there.length).toBeGreaterThan(cuts / 2)
      expect(new Set(there), moment).toEqual(new Set([moment === 'after']))
    }
    await expectTouchedOnce(database, rows)
    await expectCounted(client, id, rows)
  },
)

test('batches that go on in the server while their worker has been cut off: their outcome is waited for', async () => {
  // Each cut costs a lease: while the batch goes on, its range is locked and cannot be given back.
  const rows = perCommit(300, { nightly: 600 })
  const database = await createDatabase()
  await createItems(database, rows)
  const jobs = await jobsFolder({
    'slow.ts': jobSource({
      name: 'slow',
      table: 'items',
      // A batch of twenty takes a fifth of a second: its worker hears of the cut in the midst of it.
      rest: 'set: { touched: sql`touched + 1 + length(pg_sleep(0.01)::text)` }',
    }),
  })
  let batches = 0
  const orphans: Array<Promise<number>> = []
  const active = `SELECT count(*)::int FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'evenkeel engine' AND state = 'active'`
  const proxy = await startProxy(database.url, ({ from, type, sql }, { application }) => {
    if (application !== 'evenkeel engine' || phaseOf(sql) !== 'keys' || from !== 'client' || type !== 'S') return 'pass'
    batches += 1
    if (batches % 2 === 1) return 'pass'
    orphans.push(database.value<number>(active))
    return 'cut after'
  })
  const client = await startInProcess(proxy, jobs)
  const id = await client.start('slow', { options: { parallelism: 1, batchSize: 20 } })
  await client.reaches(id, ['succeeded'])
  expect(orphans.length).toBeGreaterThanOrEqual(rows / 20 / 2 - 1)
  expect(Math.max(...(await Promise.all(orphans)))).toBe(1)
  await expectTouchedOnce(database, rows)
  await expectCounted(client, id, rows)
})

test('connections for leases and changes of status that are cut around their commits, while batches are cut as well', async () => {
  const rows = perCommit(16_000, { nightly: 80_000 })
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  const times = { keys: perCommit(6, { nightly: 30 }) }
  const batches = new Cutter({ application: 'evenkeel engine', kindOf: phaseOf, times, oneIn: 3 })
  const control = new Cutter({
    application: 'evenkeel control',
    kindOf(sql) {
      if (sql === 'COMMIT') return 'commit'
      if (/^UPDATE .*\.ranges .*lease_owner = \$4/.test(sql)) return 'lease'
      return /^WITH ours .*\n +UPDATE .*\.ranges .*lease_owner = NULL/.test(sql) ? 'release' : null
    },
    times: { commit: 5, lease: 3, release: 3 },
    oneIn: 2,
  })
  const proxy = await startProxy(database.url, (message, connection) => {
    const verdict = batches.watch(message, connection)
    return verdict === 'pass' ? control.watch(message, connection) : verdict
  })
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  await startInProcess(proxy, jobs, { ROLE: 'worker' })
  const id = await client.start('count', { options: { parallelism: 16, batchSize: 100 } })
  await client.reaches(id, ['succeeded'])
  expect([control.isDone, batches.isDone]).toEqual([true, true])
  await expectTouchedOnce(database, rows)
  await expectCounted(client, id, rows)
})

test.each(moments)(
  'calls whose connection is cut %s a commit: the run stands where it is read to stand, and nobody is told otherwise',
  async (moment) => {
    const database = await createDatabase()
    const jobs = await createItems(database, 100)
    let due: Cut | undefined
    const proxy = await startProxy(database.url, (message, { application }) => {
      if (application !== 'evenkeel control' || message.sql !== 'COMMIT') return 'pass'
      const verdict = verdictOf(due, message)
      if (verdict !== 'pass') due = undefined
      return verdict
    })
    const client = await startInProcess(proxy, jobs, { ROLE: 'api' })
    const statuses = async () =>
      (await database.query<{ status: string }>('SELECT status FROM evenkeel.runs')).map(({ status }) => status)

    /** A call that is cut, once in each way there is; and what it says is held against what is so. */
    async function cutCall(round: number, call: () => Promise<Answer<Run>>, before: string[], after: string[][]) {
      const cuts = cutsAround('COMMIT', moment)
      due = cuts[round % cuts.length]
      const { status, body } = await call()
      expect(due).toBeUndefined()
      const now = await statuses()
      if (moment === 'before') expect(now).toEqual(before)
      else expect(moment === 'during' ? [before, ...after] : after).toContainEqual(now)
      if (status < 300) return expect([body.status]).toEqual(now)
      expect(status).toBe(503)
      expect((body as unknown as { detail: string }).detail).not.toContain('Nothing was changed')
    }

    const rounds = perCommit(2, { nightly: 10 })
    for (let round = seed; round < seed + rounds; round += 1) {
      await database.query('TRUNCATE evenkeel.runs CASCADE')
      const start = () => client.call('POST', '/runs', { job: 'count' }, { 'idempotency-key': `round ${round}` })
      await cutCall(round, start, [], [['queued']])
      // The same key makes sure of it, whatever has become of the first.
      const { id } = (await start()).body
      expect(await statuses()).toEqual(['queued'])
      const tell = (event: string) => () => client.call('POST', `/runs/${id}/${event}`)
      await cutCall(round, tell('pause'), ['queued'], [['pausing'], ['paused']])
      if ((await statuses())[0] === 'queued') await tell('pause')()
      const [stopped = ''] = await statuses()
      await cutCall(round, tell('resume'), [stopped], [['queued']])
      if ((await statuses())[0] !== 'queued') await tell('resume')()
      await cutCall(round, tell('cancel'), ['queued'], [['cancelling'], ['cancelled']])
    }
  },
)
