import type { Pool } from 'pg'
import type { Config } from '../config.ts'
import type { RunOptions } from '../core/job/options.ts'
import { getLimit } from '../core/throttle/limits.ts'
import { Destination } from '../postgres/destination.ts'
import { createPool } from '../postgres/pool.ts'
import type { ReplicaCheck } from '../runs/database.ts'
import { checkHeartbeats, checkReplicas, isStandby, streamingStandbys } from '../signals/replicas.ts'
import { type Sampler, startSampler } from '../signals/sampler.ts'
import { probeSettings, signalSettings } from '../signals/session-settings.ts'
import { type Control, createControl } from '../store/control.ts'
import { countBeat, readBeat } from '../store/heartbeat.ts'
import { listRelyingRuns, listStandbys, rememberStandbys } from '../store/standbys.ts'

/** A connection that does not answer for so long is replaced. Milliseconds. */
const queryTimeoutMs = 3000

/** The connections through which a process samples a database. */
export interface Sampling {
  startSampler(onError: (signal: string, error: unknown) => void): Sampler
  /** Checks the replicas for a run with these options. Changes nothing. */
  checkReplicas(options: RunOptions): Promise<ReplicaCheck>
  close(): Promise<void>
}

export function openSampling(
  config: Config & { readonly databaseUrl: string },
  control: Control,
  destination: Destination,
  onBroken: (error: Error) => void,
): Sampling {
  const open = (url: string, name: string, of: Destination, settings = signalSettings): Pool =>
    createPool(url, { name: `evenkeel ${name}`, max: 1, settings, queryTimeoutMs, destination: of }, onBroken)
  const signals = open(config.databaseUrl, 'signals', destination)
  const probe = open(config.databaseUrl, 'probe', destination, probeSettings)
  const replicaPools = config.replicaUrls.map((url) => ({
    name: new URL(url).host,
    pool: open(url, 'heartbeat', new Destination()),
  }))
  const heartbeats = replicaPools.map(({ name, pool }) => {
    const replica = createControl(pool, control.schema)
    return { name, read: () => readBeat(replica) }
  })
  const beat = () => countBeat(control)

  return {
    startSampler: (onError) =>
      startSampler({
        server: destination,
        signals,
        probe,
        replicas: config.replicas,
        heartbeats,
        beat,
        standbys: {
          list: () => listStandbys(control),
          remember: (seen) => rememberStandbys(control, seen),
        },
        cores: config.databaseCores,
        onError,
      }),
    async checkReplicas(options) {
      const findings: string[] = []
      let streaming: ReadonlyMap<string, number> | null = null
      const counts = (signal: Parameters<typeof getLimit>[0]) => getLimit(signal, options) !== null
      if (counts('replica-lag') || counts('replica-bytes') || counts('replicas-missing')) {
        // A session from before a failover may be on a server that is a standby now.
        if (await isStandby(signals)) destination.doubt()
        if (config.replicas.kind === 'auto') streaming = await streamingStandbys(signals, config.replicas)
        const relying = await listRelyingRuns(control)
        findings.push(
          ...(await checkReplicas(signals, {
            policy: config.replicas,
            // A standby that was removed while no run relied on it is not missed.
            known: relying.length === 0 && streaming ? streaming : await listStandbys(control),
            relying,
            maxLagSeconds: options.maxLagSeconds,
            maxBytes: getLimit('replica-bytes', options)?.hard ?? null,
            heartbeats: heartbeats.length > 0,
          })),
        )
      }
      if (counts('heartbeat') && heartbeats.length > 0)
        findings.push(...(await checkHeartbeats(heartbeats, beat, options.maxLagSeconds)))
      return { findings, standbys: streaming }
    },
    async close() {
      await Promise.all([signals, probe, ...replicaPools.map(({ pool }) => pool)].map((pool) => pool.end()))
    },
  }
}
