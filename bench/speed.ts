import { readFile } from 'node:fs/promises'
import { type EmbeddedRedis, findRedis, startRedis } from '../src/embedded/index.ts'
import type { Case } from './speed/cases.ts'
import { measuredText, writeDocs } from './speed/docs.ts'
import { type Figures, measure } from './speed/measure.ts'
import { type Options, readOptions } from './speed/options.ts'
import { merge, readOwnResults, type Versions, writeResults } from './speed/results.ts'
import { describeSetting, type Setting, sameSetting } from './speed/setting.ts'
import { turnLine } from './speed/tables.ts'
import { Cluster } from './support/cluster.ts'
import { untilQuiet } from './support/cpu.ts'
import { onQuietMachine } from './support/quiet-machine.ts'

const postgresSettings = {
  // What is written stays in memory until the turn is over, also at four million rows.
  shared_buffers: '4GB',
  max_wal_size: '24GB',
  // It would come to some turns and not to others.
  autovacuum: 'off',
}

/** How fast each way of backfilling is: in turns, on one machine, each on a fresh copy of the same table. */
async function main(options: Options): Promise<void> {
  let results = await readOwnResults()
  const redis = await redisFor(options.cases)
  const cases = options.cases.filter(({ needsRedis }) => redis !== null || !needsRedis)
  try {
    for (const setting of options.settings) {
      console.log(`\n${describeSetting(setting)}: the table is made …`)
      const cluster = await Cluster.start(setting, { ...postgresSettings, fsync: setting.fsync })
      try {
        const versions = await versionsOf(cluster)
        const rounds = new Map<Case, Figures[]>(cases.map((each) => [each, []]))
        for (let round = 1; round <= options.rounds; round++) {
          for (const [one, figures] of rounds) {
            const title = `round ${round} of ${options.rounds}`
            figures.push(await turn(cluster, redis, one, setting, options.seconds, title))
          }
          // After each round: whoever has had enough of it may stop it, and has what was measured so far.
          const entries = [...rounds].map(([{ name }, figures]) => {
            return { name, setting, versions, atMost: options.seconds, rounds: figures }
          })
          results = { ...results, entries: merge(results.entries, entries) }
          await writeResults(results)
        }
      } finally {
        await cluster.stop()
      }
    }
  } finally {
    await redis?.stop()
  }
  await writeDocs(results)
  const now = results.entries.filter((entry) => options.settings.some((each) => sameSetting(each, entry.setting)))
  console.log(`\n${measuredText({ ...results, entries: now })}\n`)
  console.log('Written: bench/results/backfill.json, docs/benchmarks.md, docs/pictures/speed.svg')
}

async function redisFor(cases: readonly Case[]): Promise<EmbeddedRedis | null> {
  if (!cases.some(({ needsRedis }) => needsRedis)) return null
  if ((await findRedis()) !== null) return startRedis()
  console.log(
    'No redis-server here (node scripts/redis.mjs fetches one): the cases with tickets in Redis are left out.',
  )
  return null
}

function turn(
  cluster: Cluster,
  redis: EmbeddedRedis | null,
  one: Case,
  setting: Setting,
  seconds: number,
  title: string,
): Promise<Figures> {
  return onQuietMachine(async () => {
    if (process.stdout.isTTY) process.stdout.write(`${title}, ${one.name} …\r`)
    const databaseUrl = await cluster.freshDatabase()
    await redis?.flush()
    await untilQuiet()
    const figures = await measure(one, { databaseUrl, redisUrl: redis?.url ?? null }, setting.rows, seconds)
    console.log(`${title}, ${turnLine(one.name, setting.rows, figures)}`)
    return figures
  })
}

async function versionsOf(cluster: Cluster): Promise<Versions> {
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'))
  const postgres = (await cluster.version()).split(' on ')[0] as string
  return { evenkeel: version, node: process.version, postgres }
}

// The embedded servers have a supervisor each, and the processes exit with us: Ctrl-C leaves nothing behind.
await main(readOptions(process.argv.slice(2)))
