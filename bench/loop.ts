import pg from 'pg'
import type { LoopOptions } from './speed/loop-process.ts'
import type { Loop } from './speed/loops/loop.ts'
import { loops } from './speed/loops.ts'

/** A peer, in a process of its own, so that its CPU can be told from ours: connects, waits until it may begin, runs once. */
async function main({ databaseUrl, name, sessions }: LoopOptions): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: sessions })
  await client.connect()
  process.once('message', async () => {
    await (loops[name] as Loop)(client)
    process.send?.('written')
  })
  process.send?.('ready')
}

await main(JSON.parse(process.argv[2] as string))
