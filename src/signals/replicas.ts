import { setTimeout as pause } from 'node:timers/promises'
import type { Pool } from 'pg'
import { z } from 'zod'
import { messageOf } from '../core/errors.ts'
import { isSqlState } from '../core/sqlstate.ts'
import { formatValue, signalSpecs } from '../core/throttle/signal.ts'
import { askOne, askOver } from '../postgres/ask.ts'
import { statement } from '../postgres/statement.ts'
import { withTimeout } from '../util/timeout.ts'
import type { HeartbeatReplica } from './heartbeat.ts'
import { countedBy, countNames, type ReplicaPolicy, readReplication, type Standby } from './replication.ts'

export interface ReplicaDemand {
  readonly policy: ReplicaPolicy
  /** Standbys that runs rely on: how many of each name. */
  readonly known: ReadonlyMap<string, number>
  /** The runs that rely on them. */
  readonly relying?: readonly string[]
  readonly maxLagSeconds: number
  /** Null: bytes do not count. */
  readonly maxBytes?: number | null
  /** Whether replicas are also read through their own URLs. */
  readonly heartbeats: boolean
}

const isStandbySql = statement('standby', { standby: z.boolean() }, 'SELECT pg_catalog.pg_is_in_recovery() AS standby')

/** Whether the server is itself a standby. */
export async function isStandby(pool: Pool): Promise<boolean> {
  return (await askOne(askOver(pool), isStandbySql)).standby
}

/** The standbys that count and stream now: how many of each name. Empty if that is unknown. */
export async function streamingStandbys(pool: Pool, policy: ReplicaPolicy): Promise<Map<string, number>> {
  const replication = await readReplication(askOver(pool))
  return countNames(replication.unknown === null ? countedBy(policy, replication.standbys).map(({ name }) => name) : [])
}

/** Reasons why the standbys cannot be watched as a run demands; empty if there are none. */
export async function checkReplicas(pool: Pool, demand: ReplicaDemand): Promise<string[]> {
  const { policy, known, heartbeats } = demand
  if (policy.kind === 'none') return []
  const replication = await readReplication(askOver(pool))
  if (replication.unknown !== null) return [sentence(replication.unknown)]
  const standbys = countedBy(policy, replication.standbys)
  if (policy.kind === 'auto' && standbys.length === 0 && known.size === 0) {
    return heartbeats
      ? []
      : [
          'No standby streams from this primary. If there is none, set REPLICAS=none. If there is one, start it, name it in REPLICAS, or read it through REPLICA_URLS.',
        ]
  }
  return [
    ...missing(demand, standbys),
    ...standbys.flatMap((standby) => behind(policy, demand, replication.position, standby)),
  ]
}

function missing({ policy, known, relying = [] }: ReplicaDemand, standbys: readonly Standby[]): string[] {
  const counts = countNames(standbys.map(({ name }) => name))
  const expected = policy.kind === 'named' ? countNames(policy.names) : known
  return [...expected].flatMap(([name, number]) => {
    const streaming = counts.get(name) ?? 0
    if (streaming >= number) return []
    const who = number === 1 ? `Standby ${name}` : `${number - streaming} of ${number} standbys ${name}`
    const otherwise =
      policy.kind === 'named'
        ? 'correct REPLICAS'
        : `if it is gone for good, end the runs that rely on it${named(relying)}, or list in REPLICAS the standbys that count`
    return [`${who} should be streaming from this primary and is not. Start it, or ${otherwise}.`]
  })
}

const maxNamed = 5

function named(runs: readonly string[]): string {
  if (runs.length === 0) return ''
  const more = runs.length > maxNamed ? ` and ${runs.length - maxNamed} more` : ''
  return ` (${runs.slice(0, maxNamed).join(', ')}${more})`
}

function behind(
  policy: ReplicaPolicy,
  { maxLagSeconds, maxBytes = signalSpecs['replica-bytes'].hard }: ReplicaDemand,
  position: bigint,
  { name, replayed, replaySeconds }: Standby,
): string[] {
  const bytes = Number(position - replayed)
  const late = bytes > 0 && (replaySeconds ?? 0) > maxLagSeconds
  if (!late && !(maxBytes !== null && bytes > maxBytes)) return []
  const by = late ? formatValue('seconds', replaySeconds ?? 0) : formatValue('bytes', bytes)
  const limit = late ? formatValue('seconds', maxLagSeconds) : formatValue('bytes', maxBytes ?? 0)
  const aside =
    policy.kind === 'named'
      ? 'if it is delayed on purpose, leave it out of REPLICAS'
      : 'if it is delayed on purpose, list in REPLICAS the standbys that count'
  return [`Standby ${name} is ${by} behind already, and the limit is ${limit}. Wait until it has caught up; ${aside}.`]
}

/** Reasons why replicas cannot be read through their own URLs. Each has to show a beat that is made now. */
export async function checkHeartbeats(
  heartbeats: readonly HeartbeatReplica[],
  beat: () => Promise<bigint>,
  withinSeconds: number,
): Promise<string[]> {
  if (heartbeats.length === 0) return []
  const counted = await beat()
  const findings = await Promise.all(heartbeats.map((replica) => checkHeartbeat(replica, counted, withinSeconds)))
  return findings.flatMap((finding) => finding ?? [])
}

async function checkHeartbeat(replica: HeartbeatReplica, beat: bigint, withinSeconds: number): Promise<string | null> {
  const deadline = performance.now() + withinSeconds * 1000
  for (;;) {
    const finding = await withTimeout(replica.read(), withinSeconds * 1000).then(
      (shown) => (shown >= beat ? null : tooLate(replica.name, withinSeconds)),
      (error: unknown) => unreadable(replica.name, error),
    )
    // A missing table may still be on its way, like the beat.
    if (finding === null || !finding.mayPass || performance.now() > deadline) return finding?.words ?? null
    await pause(50)
  }
}

function tooLate(name: string, seconds: number) {
  const words = `Replica ${name} does not show a heartbeat within ${formatValue('seconds', seconds)}. Check that it replays, and that REPLICA_URLS lists replicas of this database.`
  return { words, mayPass: true }
}

function unreadable(name: string, error: unknown) {
  if (isSqlState(error, 'undefined_table')) {
    const words = `Replica ${name} has no heartbeat table. Check that REPLICA_URLS lists replicas of this database, and that it replays.`
    return { words, mayPass: true }
  }
  const words = `Replica ${name} cannot be read: ${messageOf(error)}. Check that it runs, and its URL, role and rights in REPLICA_URLS.`
  return { words, mayPass: false }
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`
}
