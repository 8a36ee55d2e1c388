import { z } from 'zod'
import { leafSchema } from '../range/key.ts'
import { runEvents, runStatuses } from './status.ts'

/** Options of a run, as the release that wrote them named them. */
const optionsThen = z.record(z.string(), z.unknown())

/** The signal of a hold or an override, as the release that wrote it named it. */
const signalThen = z.string()

const texts: z.ZodType<readonly string[]> = z.array(z.string())

function event<Kind extends string, Detail extends z.ZodRawShape>(kind: Kind, detail: Detail) {
  return z.object({ kind: z.enum([kind]), detail: z.object(detail) })
}

/** Every event of a run, by its kind, with its details. */
const writtenEvent = z.discriminatedUnion('kind', [
  // A change of status, or of the reasons for it. The particulars of a failure are added.
  z.object({
    kind: z.enum(runEvents),
    detail: z.looseObject({
      from: z.enum(runStatuses),
      to: z.enum(runStatuses),
      reason: z.string().exactOptional(),
    }),
  }),
  event('created', {
    params: z.unknown(),
    options: optionsThen,
    ranges: z.number(),
    /** How much the table will grow, if known. */
    space: z.string().exactOptional(),
    findings: texts.exactOptional(),
  }),
  event('held', {
    reason: z.string(),
    signal: signalThen,
    value: z.number().nullable(),
    limit: z.number().nullable(),
  }),
  event('released', { signal: signalThen, heldSeconds: z.number() }),
  event('options', { from: optionsThen, to: optionsThen }),
  event('override', { signal: signalThen, reason: z.string(), by: z.string(), until: z.string() }),
  event('override-ended', { signal: signalThen }),
  // Fingerprints of the job.
  event('job-change-accepted', { from: z.string(), to: z.string() }),
  event('quarantine-retried', { rows: z.number(), ids: texts.nullable() }),
  event('quarantine-discarded', { rows: z.number(), ids: texts.nullable(), reason: z.string() }),
  event('partition-gone', { range: z.number(), partition: leafSchema.nullable() }),
  event('rescued', { range: z.number(), lostBy: z.string() }),
  // How many events have been dropped so far, and the period of those dropped last.
  event('events-dropped', { count: z.number(), from: z.string().nullable(), to: z.string().nullable() }),
])

/** An event as this release writes it. */
export type WrittenEvent = z.output<typeof writtenEvent>
export type EventKind = WrittenEvent['kind']

/** Every kind of event. */
export const eventKinds = writtenEvent.options.flatMap<EventKind>(({ shape }) => shape.kind.options)

/** An event that this release cannot have written: its kind or its details are different. */
interface UnknownEvent {
  readonly kind: 'unknown'
  /** The event as stored. */
  readonly detail: { readonly kind: string; readonly detail: unknown }
}

/** An event as read. */
export type ReadEvent = WrittenEvent | UnknownEvent

/** Kinds of events as the API shows them. */
export const shownEventKinds = [...eventKinds, 'unknown'] as const

/**
 * Reads a stored event. Events outlive the release that wrote them, and a newer one may write while this one still
 * reads. An event that does not fit is returned whole, as `unknown`, and never hides the others.
 */
export function readEvent(kind: string, detail: unknown): ReadEvent {
  const stored = { kind, detail }
  return isWritten(stored) ? stored : { kind: 'unknown', detail: stored }
}

function isWritten(stored: unknown): stored is WrittenEvent {
  return writtenEvent.safeParse(stored).success
}
