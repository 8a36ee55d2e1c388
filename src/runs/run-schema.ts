import { z } from 'zod'
import { runOptions } from '../core/job/options.ts'
import { pauseKinds } from '../core/run/pause.ts'
import { runStatuses } from '../core/run/status.ts'

export const time = z.string().describe('ISO 8601, UTC')

export const progressSchema = z
  .object({
    rowsDone: z.number().describe('Rows changed'),
    rowsScanned: z.number().describe('Rows that windows have passed, changed or not'),
    rowsTotal: z.number().describe('Rows to pass: those of the table, and those that the residual check has sent back'),
    rowsTotalIsEstimate: z
      .boolean()
      .describe(
        "Whether rowsTotal comes from the table's statistics, which may be far off; false once all rows have been passed",
      ),
    ratio: z
      .number()
      .describe('0 to 1: the fraction of rows passed, without stragglers; 1 only when the run has succeeded'),
    rowsPerSecond: z
      .number()
      .describe(
        'Rows passed per second over about the last ten seconds, waits included; the mean once the run has ended',
      ),
    overallRowsPerSecond: z.number().describe('The mean over the whole time in status running, waits included'),
    etaSeconds: z
      .number()
      .nullable()
      .describe('Estimated time until the check begins, from rowsPerSecond; null while any number would be misleading'),
    check: z
      .object({
        rowsChecked: z.number(),
        rowsTotal: z.number().describe('An estimate: the number of rows that windows have passed'),
        ratio: z.number(),
        rowsPerSecond: z.number(),
        etaSeconds: z.number().nullable(),
      })
      .nullable()
      .describe('The residual check while the run is verifying; null otherwise'),
    stragglers: z.number().describe('Rows held by other sessions that the run still has to try again'),
    quarantined: z.number().describe('Rows that fail by themselves and were set aside, without discarded ones'),
    throttledSeconds: z
      .number()
      .describe(
        'Seconds by the clock for which a hold, its rate or the pace held the run back. A wait of one of n workers counts as an nth. Never decreases. The longest of several databases',
      ),
  })
  .meta({ id: 'Progress' })

export const databaseName = z.string().describe('The name in DATABASES; present only if DATABASES is set')

export const overrideSchema = z
  .object({
    signal: z.string(),
    reason: z.string(),
    by: z.string(),
    since: time,
    until: time,
    databases: z
      .array(z.string())
      .optional()
      .describe('Databases in which it is in force; present only if DATABASES is set'),
  })
  .meta({ id: 'Override' })

const throttleSchema = z
  .object({
    reason: z.string(),
    signal: z.string(),
    value: z.number().nullable().describe('Null if there is none, as for an unreadable signal or for a time'),
    limit: z.number().nullable(),
    since: time,
    database: databaseName.optional(),
  })
  .nullable()
  .describe('What holds the run back now; of several databases, the first one that is held back')

const stalledSchema = z
  .object({ since: time, lastCheckpointAt: time.nullable(), database: databaseName.optional() })
  .nullable()
  .describe(
    'Set if the run should move but has given no sign of life for a minute; of several databases, the first one that has stalled',
  )

const pauseSchema = z
  .object({
    kind: z
      .enum(pauseKinds)
      .describe('`run`: POST /runs/:id/pause. `global`: POST /pause. `job`: its job is missing or has changed'),
    by: z.string(),
    reason: z.string().nullable(),
    since: time,
    databases: z
      .array(z.string())
      .optional()
      .describe('Databases in which it is in force; present only if DATABASES is set'),
  })
  .meta({ id: 'Pause' })

/** A run in one of the databases that it spans. */
export const partSchema = z
  .object({
    status: z.enum(runStatuses).nullable().describe('Null if it cannot be read: reason says why'),
    reason: z.string().nullable(),
    progress: progressSchema.nullable(),
    throttle: throttleSchema,
    stalled: stalledSchema,
    options: runOptions.nullable(),
    version: z.int().nullable(),
  })
  .meta({ id: 'RunInDatabase' })

export const unreachedSchema = z
  .array(z.object({ database: z.string(), detail: z.string() }))
  .optional()
  .describe('Databases that did not answer; present only if DATABASES is set')

export const runSchema = z
  .object({
    id: z.string(),
    job: z.string(),
    params: z.unknown(),
    table: z.string(),
    status: z.enum(runStatuses),
    reason: z.string().nullable().describe('Why the run has this status'),
    pauses: z
      .array(pauseSchema)
      .describe('Why the run is paused, oldest reason first; it stays paused while any is left'),
    progress: progressSchema,
    throttle: throttleSchema,
    stalled: stalledSchema,
    proof: z
      .object({
        rowsDone: z.number(),
        rowsScanned: z.number(),
        rowsGone: z
          .number()
          .describe(
            'Stragglers that were deleted or did not match when they were tried. Rows of a locked table become stragglers whether or not they match',
          ),
        rowsChecked: z.number().describe('Rows that the residual check read'),
        quarantined: z.number().describe('Rows that fail by themselves, allowed by succeedWithQuarantined'),
        discarded: z.number().describe('Rows that fail by themselves and were discarded by an operator'),
        residual: z.number().nullable().describe('Rows that still matched; null for a job without a predicate'),
      })
      .nullable()
      .describe('The counts that prove success; null until the run has succeeded'),
    overrides: z.array(overrideSchema).describe('Signals that the run ignores for some time, and who ordered it'),
    options: runOptions,
    databases: z
      .record(z.string(), partSchema)
      .optional()
      .describe(
        'The run in each database that it spans; present only if DATABASES is set. The other fields are computed from these.',
      ),
    version: z.int().describe('For If-Match'),
    createdBy: z.string(),
    createdAt: time,
    startedAt: time.nullable(),
    endedAt: time.nullable(),
    lastCheckpointAt: time.nullable(),
  })
  .meta({ id: 'Run' })

/** A run as the API shows it. */
export type RunView = z.output<typeof runSchema>
