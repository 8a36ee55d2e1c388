import { mergeProgress, mergeReasons, mergeStatuses } from '../core/run/shards.ts'
import type { RunView } from './run-schema.ts'
import type { UnavailableShard } from './shards.ts'

/** A run as seen in one database; `database` is null for a database without a name. */
export interface ShardView {
  readonly database: string | null
  readonly body: RunView
}

/** Merges the views of all databases into one run. Empty if no database shows the run. */
export function mergeShards(parts: readonly ShardView[], unseen: readonly UnavailableShard[]): RunView[] {
  const [first] = parts
  if (!first) return []
  if (first.database === null) return [first.body]
  const bodies = parts.map(({ body }) => body)
  const named = parts.map(({ database, body }) => ({ database: String(database), ...body }))
  const states = [...bodies.map(({ status }) => status), ...unseen.map(({ state }) => state)]
  const status = mergeStatuses(states)
  return [
    {
      ...first.body,
      status,
      reason: mergeReasons(status, [
        ...named.map(({ database, status: state, reason }) => ({ database, state, reason })),
        ...unseen,
      ]),
      progress: mergeProgress(status, bodies, unseen.length > 0),
      throttle: firstThrottle(named),
      stalled: firstStalled(named),
      proof: status === 'succeeded' ? addProofs(bodies) : null,
      pauses: joinPauses(named),
      overrides: joinOverrides(named),
      databases: Object.fromEntries([
        ...named.map(({ database, ...body }) => [database, partOf(body)] as const),
        ...unseen.map(({ database, reason }) => [database, unseenPart(reason)] as const),
      ]),
      version: bodies.reduce((sum, { version }) => sum + version, 0),
      startedAt: edge(bodies, 'startedAt', 'first'),
      // The run has not ended while any shard has not.
      endedAt:
        bodies.every(({ endedAt }) => endedAt !== null) && !states.includes('unreachable')
          ? edge(bodies, 'endedAt', 'last')
          : null,
      lastCheckpointAt: edge(bodies, 'lastCheckpointAt', 'last'),
    },
  ]
}

type Named = RunView & { readonly database: string }
type PartShown = NonNullable<RunView['databases']>[string]

function partOf({ status, reason, progress, throttle, stalled, options, version }: RunView): PartShown {
  return { status, reason, progress, throttle, stalled, options, version }
}

function unseenPart(reason: string): PartShown {
  return { status: null, reason, progress: null, throttle: null, stalled: null, options: null, version: null }
}

function firstThrottle(parts: readonly Named[]): RunView['throttle'] {
  const held = parts.find(({ throttle }) => throttle !== null)
  return held?.throttle
    ? { ...held.throttle, reason: `${held.database}: ${held.throttle.reason}`, database: held.database }
    : null
}

function firstStalled(parts: readonly Named[]): RunView['stalled'] {
  const stuck = parts.find(({ stalled }) => stalled !== null)
  return stuck?.stalled ? { ...stuck.stalled, database: stuck.database } : null
}

function addProofs(bodies: readonly RunView[]): RunView['proof'] {
  const proofs = bodies.flatMap(({ proof }) => proof ?? [])
  const sum = (field: keyof NonNullable<RunView['proof']>) =>
    proofs.reduce((total, proof) => total + (proof[field] ?? 0), 0)
  return {
    rowsDone: sum('rowsDone'),
    rowsScanned: sum('rowsScanned'),
    rowsGone: sum('rowsGone'),
    rowsChecked: sum('rowsChecked'),
    quarantined: sum('quarantined'),
    discarded: sum('discarded'),
    residual: proofs.some(({ residual }) => residual === null) ? null : sum('residual'),
  }
}

/**
 * Merges an override set in several databases into one entry. Each database has its own clock; the earliest end is
 * shown.
 */
function joinOverrides(parts: readonly Named[]): RunView['overrides'] {
  const joined = new Map<string, RunView['overrides'][number]>()
  for (const { database, overrides } of parts) {
    for (const override of overrides) {
      const key = JSON.stringify([override.signal, override.reason, override.by])
      const same = joined.get(key)
      const first = same && same.until < override.until ? same : override
      joined.set(key, { ...first, databases: [...(same?.databases ?? []), database] })
    }
  }
  return [...joined.values()]
}

/** Merges a pause set in several databases into one entry, with the earliest start. */
function joinPauses(parts: readonly Named[]): RunView['pauses'] {
  const joined = new Map<string, RunView['pauses'][number]>()
  for (const { database, pauses } of parts) {
    for (const pause of pauses) {
      const key = JSON.stringify([pause.kind, pause.by, pause.reason])
      const same = joined.get(key)
      const first = same && same.since < pause.since ? same : pause
      joined.set(key, { ...first, databases: [...(same?.databases ?? []), database] })
    }
  }
  return [...joined.values()]
}

/** ISO 8601 in UTC sorts as text. */
function edge(
  bodies: readonly RunView[],
  field: 'startedAt' | 'endedAt' | 'lastCheckpointAt',
  which: 'first' | 'last',
): string | null {
  const times = bodies.flatMap((body) => body[field] ?? []).sort()
  return times.at(which === 'first' ? 0 : -1) ?? null
}
