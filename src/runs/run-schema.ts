import { z } from 'zod'
import { runOptions } from '../core/job/options.ts'
import { pauseKinds } from '../core/run/pause.ts'
import { runStatuses } from '../core/run/status.ts'

export const time = z.string().describe('ISO 8601, UTC')

export const progressSchema = z
  .object({
    rowsDone: z.number().describe('Rows that were changed'),
    rowsScanned: z.number().describe('Rows that windows have passed over, changed or not'),
    rowsTotal: z
      .number()
      .describe('Rows to pass over: those of the table, and those that the residual check has sent back'),
    rowsTotalIsEstimate: z
      .boolean()
      .describe(
        "Whether rowsTotal comes from the table's statistics, which may be far off; false once all rows were passed",
      ),
    ratio: z
      .number()
      .describe('0 to 1: the part that was passed over, stragglers left out; 1 only when the run has succeeded'),
    rowsPerSecond: z
      .number()
      .describe('What a clock sees over about the last ten seconds, waits included; the mean once the run has ended'),
    overallRowsPerSecond: z.number().describe('The mean over all the time that the run was running, waits included'),
    etaSeconds: z
      .number()
      .nullable()
      .describe(
        'An estimate, by rowsPerSecond, of the time until the check begins; null while any number would be a lie',
      ),
    check: z
      .object({
        rowsChecked: z.number(),
        rowsTotal: z.number().describe('An estimate: as many as windows have passed over'),
        ratio: z.number(),
        rowsPerSecond: z.number(),
        etaSeconds: z.number().nullable(),
      })
      .nullable()
      .describe('The residual check while the run is verifying; null otherwise'),
    stragglers: z.number().describe('Rows held by others that the run still has to come back to'),
    quarantined: z
      .number()
      .describe('Rows that fail by themselves and were set aside; those that were discarded left out'),
    throttledSeconds: z
      .number()
      .describe(
        'Seconds by the clock in which the run was held back, by a hold, its rate or the load; a wait of one of n workers counts as an nth. It only grows. Of several databases the longest',
      ),
  })
  .meta({ id: 'Progress' })

export const databaseName = z.string().describe('As DATABASES names it; there only where DATABASES is set')

export const overrideSchema = z
  .object({
    signal: z.string(),
    reason: z.string(),
    by: z.string(),
    since: time,
    until: time,
    databases: z.array(z.string()).optional().describe('Those in which it is in force; only where DATABASES is set'),
  })
  .meta({ id: 'Override' })

const throttleSchema = z
  .object({
    reason: z.string(),
    signal: z.string(),
    value: z.number().nullable().describe('Null where there is none: a signal that cannot be read, a time'),
    limit: z.number().nullable(),
    since: time,
    database: databaseName.optional(),
  })
  .nullable()
  .describe('What holds it back at this moment; of several databases the first that is held back')

const stalledSchema = z
  .object({ since: time, lastCheckpointAt: time.nullable(), database: databaseName.optional() })
  .nullable()
  .describe(
    'That it should move and has given no sign for a minute, since when; of several databases the first that has stalled',
  )

const pauseSchema = z
  .object({
    kind: z
      .enum(pauseKinds)
      .describe('`run`: POST /runs/:id/pause. `everything`: POST /pause. `job`: its job is missing or has changed'),
    by: z.string(),
    reason: z.string().nullable(),
    since: time,
    databases: z.array(z.string()).optional().describe('Those in which it holds; only where DATABASES is set'),
  })
  .meta({ id: 'Pause' })

/** A run in one of the databases that it spans. */
export const partSchema = z
  .object({
    status: z.enum(runStatuses).nullable().describe('Null where it cannot be seen: reason says why'),
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
  .describe('Databases that did not answer; only where DATABASES is set')

export const runSchema = z
  .object({
    id: z.string(),
    job: z.string(),
    params: z.unknown(),
    table: z.string(),
    status: z.enum(runStatuses),
    reason: z.string().nullable().describe('Why it stands where it stands'),
    pauses: z.array(pauseSchema).describe('Why it is paused, oldest reason first: it stays paused while any is left'),
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
            'Stragglers that were deleted, or did not match, when their turn came. A row that a locked table kept from being asked is a straggler whether or not it matches',
          ),
        rowsChecked: z.number().describe('Rows that the residual check read'),
        quarantined: z.number().describe('Rows that fail by themselves, which succeedWithQuarantined allowed'),
        discarded: z.number().describe('Rows that fail by themselves, and were given up by somebody'),
        residual: z.number().nullable().describe('Rows that still matched; null for a job without a predicate'),
      })
      .nullable()
      .describe('What the end was concluded from; null before it'),
    overrides: z.array(overrideSchema).describe('Signals that it need not heed for a while, and who said so'),
    options: runOptions,
    databases: z
      .record(z.string(), partSchema)
      .optional()
      .describe(
        'Each of the databases that it spans; only where DATABASES is set. What stands outside is made from these.',
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
