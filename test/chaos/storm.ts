import { parseArgs } from 'node:util'
import { findRedis } from '../../src/embedded/index.ts'
import { compilePrograms } from '../support/compile.ts'
import { faultsOf } from './storm/plan.ts'
import { Report } from './storm/report.ts'
import { Storm } from './storm/storm.ts'
import type { QueueKind } from './storm/world.ts'

const usage = `npm run chaos                                    20 rounds of faults, from a seed of their own, on both queues
npm run chaos -- --rounds 200 --queue redis      so many, on one of them: redis or postgres
npm run chaos -- --seed 1234 --rounds 1 --queue redis   a round again, as its line tells`

interface Options {
  readonly seed: number
  readonly rounds: number
  readonly queues: readonly QueueKind[]
}

function readOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: { seed: { type: 'string' }, rounds: { type: 'string', default: '20' }, queue: { type: 'string' } },
  })
  const number = (name: string, text: string, least: number) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least || value > 2 ** 31 - 1)
      throw new Error(`--${name} must be a whole number from ${least} to ${2 ** 31 - 1}`)
    return value
  }
  const { queue } = values
  if (queue !== undefined && queue !== 'redis' && queue !== 'postgres')
    throw new Error('--queue must be redis or postgres')
  return {
    seed: number('seed', values.seed ?? String(Date.now() % 1_000_000_000), 0),
    rounds: number('rounds', values.rounds, 1),
    queues: queue === undefined ? ['postgres', 'redis'] : [queue],
  }
}

async function main({ seed, rounds, queues }: Options): Promise<number> {
  const report = new Report(process.stdout)
  const { shortened } = await compilePrograms()
  const interrupted = new AbortController()
  // The servers have a supervisor and the processes exit with us: a second one leaves nothing behind either.
  process.once('SIGINT', () => interrupted.abort())
  for (const queue of queues) {
    if (queue === 'redis' && (await findRedis()) === null) {
      report.line('No redis-server here: the rounds on Redis are left out. `node scripts/redis.mjs` fetches one.')
      continue
    }
    const storm = new Storm(queue, shortened)
    report.begin(queue, seed, rounds)
    for (let number = 0; number < rounds && !interrupted.signal.aborted; number++)
      report.round(await storm.round(seed + number))
    await storm.close()
    report.conclude(Object.keys(faultsOf(queue)))
  }
  return report.failed ? 1 : 0
}

let options: Options | null = null
try {
  options = readOptions(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n${usage}\n`)
  process.exitCode = 2
}
if (options) process.exitCode = await main(options)
