import pg from 'pg'
import { type Pace, startPace } from '../../src/core/load.ts'
import type { PartialRunOptions } from '../../src/core/options.ts'
import { signalNames } from '../../src/core/signal.ts'

/** How a run of evenkeel is told to go. */
export interface Pacing {
  readonly options: PartialRunOptions
  /** Before the run is started. */
  prepare(databaseUrl: string): Promise<void>
}

export const defaults: Pacing = { options: {}, prepare: async () => {} }

/**
 * Two workers, batches of 20 ms, nothing between them, whatever anybody else feels. No signal counts; but that workers
 * leave others the larger part of the time is not to be switched off by an option. So the shared pace is set to all there
 * is, and made to have taken its last step in an hour.
 */
export const withoutPace: Pacing = {
  options: { targetBatchSeconds: 0.02, signals: Object.fromEntries(signalNames.map((name) => [name, false])) },
  async prepare(databaseUrl) {
    const pace: Pace = { ...startPace, load: Number.MAX_SAFE_INTEGER }
    const client = new pg.Client({ connectionString: databaseUrl, application_name: 'bench' })
    await client.connect()
    try {
      await client.query("UPDATE evenkeel.pace SET state = $1, stepped_at = now() + interval '1 hour'", [pace])
    } finally {
      await client.end()
    }
  },
}
