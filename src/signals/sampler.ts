import type { Pool } from 'pg'
import type { Measured, SignalName } from '../core/throttle/signal.ts'
import { askOver } from '../postgres/ask.ts'
import { every, type Loop } from '../util/every.ts'
import { activeReader, readActivity, recentOthers } from './active.ts'
import { archive } from './archive.ts'
import { blockedReader } from './blocked.ts'
import { deadTuples } from './dead-tuples.ts'
import { type HeartbeatReplica, heartbeatIntervalMs, heartbeatReader } from './heartbeat.ts'
import { inRecovery } from './messages.ts'
import { probeIntervalMs, probeReader } from './probe.ts'
import { type KnownStandbys, ReplicaSample, replicaSignals } from './replica-sample.ts'
import type { ReplicaPolicy } from './replication.ts'
import { Sample, type SampleSpec } from './sample.ts'
import { slots } from './slots.ts'
import { snapshot } from './snapshot.ts'
import { keyOf, type WatchedTable } from './tables.ts'
import { vacuum } from './vacuum.ts'

export type { HeartbeatReplica, KnownStandbys, ReplicaPolicy, WatchedTable }

export interface SamplerOptions {
  readonly server: Server
  /** One connection for the signals and one for the probe, of their own, so that neither waits for the other. */
  readonly signals: Pool
  readonly probe: Pool
  readonly replicas: ReplicaPolicy
  readonly heartbeats: readonly HeartbeatReplica[]
  /** Counts the heartbeat up on the primary and returns it; only called where there are replicas that show it. */
  readonly beat: () => Promise<bigint>
  readonly standbys: KnownStandbys
  /** Cores of the database server; null: `active` does not apply. */
  readonly cores: number | null
  /** Hears of a signal that cannot be read, once for each row of failures in the same words. */
  readonly onError: (signal: SignalName, error: unknown) => void
}

export interface Sampler {
  /**
   * The newest reading of each signal that applies here, dead tuples and vacuum those of the table. What has not been read
   * for some seconds is unknown, with its cause.
   */
  readings(table?: WatchedTable): readonly Measured[]
  /**
   * The tables of live runs: their dead tuples and vacuum are looked at from now on; without any, the probe rests. Resolves
   * once those that are new have been looked at, for what is unknown counts as others at work.
   */
  watch(tables: readonly WatchedTable[]): Promise<void>
  /** Every signal has been looked at for the first time. */
  readonly ready: Promise<void>
  close(): Promise<void>
}

const fastMs = 500
const slowMs = 2000

/** Which server the sessions of this process are on. */
export interface Server {
  /** Since when they are on another one than before, if ever. Monotonic milliseconds. */
  readonly since: number
  /** It is a standby: sessions that are opened now may reach another one. */
  doubt(): void
}

/** Looks at the database for as long as the process lives: once for all its runs. */
export function startSampler(options: SamplerOptions): Sampler {
  const ask = askOver(options.signals)
  let closed = false
  const onError = (signal: SignalName, error: unknown) => {
    if (!closed) options.onError(signal, error)
  }
  const replicas = new ReplicaSample(ask, options.replicas, options.standbys, (error) =>
    onError('replicas-missing', error),
  )

  let tables: readonly WatchedTable[] = []
  // What is quiet on one server says nothing of another.
  const probe = anewOn(options.server, () => probeReader(options.probe, ask))
  const active = options.cores === null ? null : activeReader(options.cores)
  const slowly = { intervalMs: slowMs }
  const specs: SampleSpec[] = [
    {
      signals: active ? ['foreground', 'active'] : ['foreground'],
      intervalMs: fastMs,
      async read() {
        const found = await readActivity(ask)
        return [recentOthers(found), ...(active ? [active(found)] : [])]
      },
    },
    { signals: ['blocked'], intervalMs: fastMs, read: blockedReader(ask) },
    // While nobody relies on it it leaves a quiet database quiet: it writes WAL, four times a second.
    {
      signals: ['commit-latency'],
      intervalMs: probeIntervalMs,
      read: async () => (tables.length > 0 ? probe()() : []),
    },
    { signals: ['slots'], ...slowly, read: () => slots(ask) },
    { signals: ['archive'], ...slowly, read: () => archive(ask) },
    { signals: ['snapshot'], ...slowly, read: () => snapshot(ask) },
    { signals: ['dead-tuples'], ...slowly, ofTables: true, read: () => deadTuples(ask, tables) },
    { signals: ['vacuum'], ...slowly, ofTables: true, read: () => vacuum(ask, tables) },
  ]
  if (options.replicas.kind !== 'none') {
    specs.push({ signals: replicaSignals, intervalMs: fastMs, read: () => replicas.read() })
  }
  if (options.heartbeats.length > 0) {
    specs.push({
      signals: ['heartbeat'],
      intervalMs: heartbeatIntervalMs,
      read: heartbeatReader(options.heartbeats, options.beat),
    })
  }

  const looks = specs.map((spec) => new Sample({ ...spec, read: () => readHere(spec, options.server) }, onError))
  const loops: Loop[] = looks.map((look) => every(look.intervalMs, () => look.take()))
  if (options.replicas.kind === 'auto') {
    loops.push(every(slowMs, () => replicas.learn().catch((error) => onError('replicas-missing', error))))
  }
  return {
    readings(table) {
      const now = performance.now()
      return looks.flatMap((look) => look.measured(now, table && keyOf(table), options.server.since))
    },
    async watch(watched) {
      const known = new Set(tables.map(keyOf))
      tables = [...watched]
      if (watched.every((table) => known.has(keyOf(table)))) return
      await Promise.all(looks.filter((look) => look.ofTables).map((look) => look.take()))
    },
    ready: Promise.all(loops.map(({ first }) => first)).then(() => undefined),
    async close() {
      closed = true
      await Promise.all(loops.map((loop) => loop.stop()))
    },
  }
}

/** A standby is where no batch goes: whoever finds that he looks at one has the address asked again. */
async function readHere({ read }: SampleSpec, server: Server): ReturnType<SampleSpec['read']> {
  const readings = await read()
  if (readings.some(({ detail }) => detail === inRecovery)) server.doubt()
  return readings
}

/** What remembers looks, made again for each server. */
function anewOn<T>(server: Server, make: () => T): () => T {
  let made = { since: server.since, it: make() }
  return () => {
    if (made.since !== server.since) made = { since: server.since, it: make() }
    return made.it
  }
}
