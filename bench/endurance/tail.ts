import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

const everyMs = 20

/** The end of a run: how long workers were idle while others still worked. Seconds. */
export interface Tail {
  readonly whole: number
  /** From when there were fewer ranges to do than workers, the first of which was idle then, to the end of the last range. */
  readonly idle: number
  readonly rangesPlanned: number
  readonly ranges: number
}

interface Look {
  readonly ranges: number
  readonly open: number
}

/** Watches the ranges of the only run in a database until all are done. */
export async function watchTail(databaseUrl: string, workers: number): Promise<Tail> {
  // A name of evenkeel's: beside a session of others it would give way.
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'evenkeel bench' })
  await client.connect()
  const look = async () =>
    (
      await client.query<Look>(
        `SELECT count(*)::int AS ranges, count(*) FILTER (WHERE NOT done)::int AS open
         FROM evenkeel.ranges WHERE phase = 'keys'`,
      )
    ).rows[0] as Look
  try {
    const began = performance.now()
    const { ranges: rangesPlanned } = await look()
    let fullAt = began
    for (;;) {
      const { ranges, open } = await look()
      const now = performance.now()
      if (open >= workers) fullAt = now
      if (open === 0) return { whole: (now - began) / 1000, idle: (now - fullAt) / 1000, rangesPlanned, ranges }
      await sleep(everyMs)
    }
  } finally {
    await client.end()
  }
}
