import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createClient } from '../../src/client/client.ts'
import type { Run } from '../../src/client/openapi.ts'
import { getRun, type RunOptions, startRun } from '../../src/client/runs.ts'
import type { Child } from '../../tools/processes/child.ts'
import { listens, startService } from '../../tools/processes/service.ts'
import type { Backfill, Peer } from './peer.ts'

const jobsDir = fileURLToPath(new URL('../jobs', import.meta.url))
const job = 'orders-net'
const pollMs = 100

/** The service itself, as `npm start` starts it: API, workers and queue in one process. */
export function evenkeel(name: string, options: RunOptions): Peer {
  return {
    name,
    sessions: 'evenkeel engine',
    async start(databaseUrl) {
      const service = startService({
        DATABASE_URL: databaseUrl,
        JOBS_DIR: jobsDir,
        ROLE: 'both',
        REPLICAS: 'none',
        PORT: '0',
      })
      try {
        const client = createClient({ url: await listens(service) })
        const { id } = await startRun(client, { job, options })
        return follow(service, () => getRun(client, id))
      } catch (error) {
        await service.kill()
        throw error
      }
    },
  }
}

function follow(service: Child, read: () => Promise<Run>): Backfill {
  const stopping = new AbortController()
  const done = Promise.race([service.failure, writes(read, stopping.signal)]).catch((error) => {
    if (!stopping.signal.aborted) throw error
  })
  done.catch(() => {})
  const stop = async () => {
    stopping.abort()
    await service.kill()
  }
  return { rowsDone: async () => (await read()).progress.rowsDone, done, stop }
}

/** Resolves when the run writes no more: the residual check after it only reads. */
async function writes(read: () => Promise<Run>, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { status, reason } = await read()
    if (status === 'verifying' || status === 'succeeded') return
    if (status !== 'queued' && status !== 'running') throw new Error(`the run is ${status}: ${reason}`)
    await sleep(pollMs, undefined, { signal })
  }
}
