import type { Backfill } from './backfill.ts'
import { LoopProcess } from './loop-process.ts'
import { loops } from './loops.ts'
import { ServiceProcess } from './service.ts'

export interface Surroundings {
  readonly databaseUrl: string
  /** Null: there is no Redis here, and nobody asks for it. */
  readonly redisUrl: string | null
}

export interface Case {
  readonly name: string
  readonly needsRedis: boolean
  /** The application_name of its sessions that lock rows. */
  readonly sessions: string
  /** Resolves when it is ready to begin. */
  start(surroundings: Surroundings): Promise<Backfill>
}

export const queues = ['Postgres', 'Redis'] as const
const crews = [1, 2, 4]

export function evenkeel(workers: number, queue: (typeof queues)[number]): string {
  return `evenkeel with ${workers} ${workers === 1 ? 'worker' : 'workers'} (tickets in ${queue})`
}

/** In the order of the tables. */
export const cases: readonly Case[] = [
  ...Object.keys(loops).map(loopCase),
  ...queues.flatMap((queue) => crews.map((workers) => evenkeelCase(workers, queue))),
]

function loopCase(name: string): Case {
  const sessions = 'bench loop'
  return {
    name,
    needsRedis: false,
    sessions,
    start: ({ databaseUrl }) => LoopProcess.start({ databaseUrl, name, sessions }),
  }
}

function evenkeelCase(workers: number, queue: (typeof queues)[number]): Case {
  const needsRedis = queue === 'Redis'
  return {
    name: evenkeel(workers, queue),
    needsRedis,
    sessions: 'evenkeel engine',
    start: ({ databaseUrl, redisUrl }) =>
      ServiceProcess.start({ databaseUrl, redisUrl: needsRedis ? redisUrl : null, workers }),
  }
}
