import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { Measured, SignalName } from '../../src/core/throttle/signal.ts'
import { Destination } from '../../src/postgres/destination.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { type Sampler, type SamplerOptions, startSampler } from '../../src/signals/sampler.ts'
import { probeSettings, signalSettings } from '../../src/signals/session-settings.ts'
import type { WatchedTable } from '../../src/signals/tables.ts'
import { until } from './until.ts'

/** A sampler on a database, as on a primary alone where nothing else is said; closed when the test ends. */
export async function sample(url: string, options: Partial<SamplerOptions> = {}): Promise<Sampler> {
  const destination = new Destination()
  const signals = createPool(url, { name: 'evenkeel signals', max: 1, settings: signalSettings, destination })
  const probe = createPool(url, { name: 'evenkeel probe', max: 1, settings: probeSettings, destination })
  const sampler = startSampler({
    server: destination,
    signals,
    probe,
    replicas: { kind: 'none' },
    heartbeats: [],
    beat: () => Promise.reject(new Error('nobody reads a heartbeat')),
    standbys: { list: () => Promise.resolve(new Map()), remember: () => Promise.resolve() },
    cores: 2,
    onError: () => undefined,
    ...options,
  })
  onTestFinished(async () => {
    await sampler.close()
    await Promise.all([signals.end(), probe.end()])
  })
  // As beside a live run: without one the probe rests.
  sampler.watch([{ schema: 'pg_catalog', table: 'pg_class' }])
  await sampler.ready
  await until('the probe to have begun', () => reading(sampler, 'commit-latency') !== undefined)
  return sampler
}

export function reading(sampler: Sampler, signal: SignalName, table?: WatchedTable): Measured | undefined {
  return sampler.readings(table).find((measured) => measured.signal === signal)
}

/** Waits for a reading; an absent one does not meet anything. */
export async function untilReading(
  sampler: Sampler,
  signal: SignalName,
  met: (measured: Measured) => boolean,
  { table, seconds = 30 }: { table?: WatchedTable; seconds?: number } = {},
): Promise<Measured> {
  const found = await until(
    `a certain ${signal}`,
    () => reading(sampler, signal, table),
    (measured) => measured !== undefined && met(measured),
    seconds,
  )
  return found as Measured
}

/** The reading of a look that began after now. */
export function nextReading(sampler: Sampler, signal: SignalName, table?: WatchedTable): Promise<Measured> {
  const asked = performance.now()
  // One that is under way may have read before.
  let first: number | null = null
  return untilReading(
    sampler,
    signal,
    ({ at }) => {
      if (at > asked) first ??= at
      return first !== null && at > first
    },
    table ? { table } : {},
  )
}

/** A session under a name, ended with the test. */
export async function sessionNamed(url: string, name: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: name })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

/** Sessions of others of late; null where that is unknown. */
export function othersOf(sampler: Sampler): number | null {
  return reading(sampler, 'foreground')?.value ?? null
}
