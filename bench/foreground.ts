import { type Case, cases } from './cases.ts'
import { Cluster } from './support/cluster.ts'
import { untilQuiet } from './support/cpu.ts'
import { type Figures, measure } from './support/measure.ts'
import { type Options, readOptions } from './support/options.ts'
import { onQuietMachine } from './support/quiet-machine.ts'
import { goalLine, lineOf, tableOf } from './support/report.ts'
import { goalsOf, resultsOf, writeResults } from './support/results.ts'

/** What users feel while a backfill runs: each case beside the same load, in turns, and the medians of the turns. */
async function main(options: Options): Promise<void> {
  console.log(`Foreground: ${options.rate} transactions a second; backfill: ${options.rows} rows.`)
  const { rows, fsync } = options
  const cluster = await Cluster.start({ rows, keys: 'bigint', width: 'narrow' }, { fsync })
  try {
    const rounds: Map<string, Figures>[] = []
    for (let round = 1; round <= options.rounds; round++) {
      rounds.push(await everyCase(cluster, options, `round ${round} of ${options.rounds}`))
    }
    const results = resultsOf(rounds)
    const file = await writeResults(options, await cluster.version(), results)
    console.log(`\n${tableOf(results)}\n\nTimes in milliseconds.\n`)
    for (const goal of goalsOf(results)) console.log(goalLine(goal))
    console.log(`\nEach round's figures are in ${file}`)
  } finally {
    await cluster.stop()
  }
}

async function everyCase(cluster: Cluster, options: Options, title: string): Promise<Map<string, Figures>> {
  const round = new Map<string, Figures>()
  for (const one of cases) round.set(one.name, await turn(cluster, options, one, title))
  return round
}

function turn(cluster: Cluster, options: Options, one: Case, title: string): Promise<Figures> {
  return onQuietMachine(async () => {
    if (process.stdout.isTTY) process.stdout.write(`${title}, ${one.name} …\r`)
    const databaseUrl = await cluster.freshDatabase()
    await untilQuiet()
    const figures = await measure(one, databaseUrl, options)
    console.log(`${title}, ${lineOf(one.name, figures)}`)
    return figures
  })
}

// The embedded Postgres has a supervisor of its own, and the processes exit with us: Ctrl-C leaves nothing behind.
await main(readOptions(process.argv.slice(2)))
