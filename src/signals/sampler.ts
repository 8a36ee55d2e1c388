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
  /** One connection for the signals and one for the probe, so that neither waits for the other. */
  readonly signals: Pool
  readonly probe: Pool
  readonly replicas: ReplicaPolicy
  readonly heartbeats: readonly HeartbeatReplica[]
  /** Increments the heartbeat on the primary and returns it. Only called if there are replicas that show it. */
  readonly beat: () => Promise<bigint>
  readonly standbys: KnownStandbys
  /** Cores of the database server; null: `active` does not apply. */
  readonly cores: number | null
  /** Called with a signal that cannot be read, once for each series of failures with the same message. */
  readonly onError: (signal: SignalName, error: unknown) => void
}

export interface Sampler {
  /**
   * The newest reading of each signal that applies, with dead tuples and vacuum of `table`. A signal that has not been
   * read for some seconds is unknown, with its cause.
   */
  readings(table?: WatchedTable): readonly Measured[]
  /**
   * Sets the tables of live runs. Their dead tuples and vacuum are sampled from now on. Without tables the probe rests.
   * Resolves when new tables have been sampled, because an unknown signal slows a run.
   */
  watch(tables: readonly WatchedTable[]): Promise<void>
  /** Resolves when every signal has been sampled once. */
  readonly ready: Promise<void>
  close(): Promise<void>
}

const fastMs = 500
const slowMs = 2000

/** The server that the sessions of this process are on. */
export interface Server {
  /** When they moved to another server, if ever. Monotonic milliseconds. */
  readonly since: number
  /** The server is a standby: new sessions may reach another server. */
  doubt(): void
}

/** Samples the database for all runs until it is closed. */
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
  // A quiet latency on one server says nothing about another.
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
    // The probe writes WAL four times a second, so it leaves a database without runs quiet.
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

/** No batch can run on a standby. A sample that finds itself on one makes the pools resolve the address again. */
async function readHere({ read }: SampleSpec, server: Server): ReturnType<SampleSpec['read']> {
  const readings = await read()
  if (readings.some(({ detail }) => detail === inRecovery)) server.doubt()
  return readings
}

/** Makes a reader that remembers samples, and a new one for each server. */
function anewOn<T>(server: Server, make: () => T): () => T {
  let made = { since: server.since, it: make() }
  return () => {
    if (made.since !== server.since) made = { since: server.since, it: make() }
    return made.it
  }
}
