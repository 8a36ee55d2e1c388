import { z } from 'zod'
import { faultNames } from '../core/fault.ts'
import { partialRunOptions, runOptions } from '../core/options.ts'
import { pauseKinds } from '../core/pause.ts'
import { rangeKinds } from '../core/ranges.ts'
import { runStatuses } from '../core/run.ts'
import { strictObject } from '../core/strict.ts'
import { storable } from '../core/text.ts'

const time = z.string().describe('ISO 8601, UTC')
const key = z.array(z.string()).nullable().describe('One text per key column, as Postgres writes it')

export const problemSchema = z
  .looseObject({ type: z.string(), title: z.string(), status: z.int(), detail: z.string() })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' })

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

const databaseName = z.string().describe('As DATABASES names it; there only where DATABASES is set')

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

export const rangeSchema = z
  .object({
    database: databaseName.optional(),
    ordinal: z.int(),
    kind: z.enum(rangeKinds),
    partition: z.string().nullable().describe('The partition that it is a slice of; null where the table has none'),
    lower: key,
    upper: key,
    cursor: key,
    done: z.boolean(),
    epoch: z.string(),
    leaseOwner: z.string().nullable(),
    leaseUntil: time.nullable(),
    rowsScanned: z.number(),
    rowsDone: z.number(),
    rowsGone: z.number(),
    batches: z.number(),
    batchSize: z.number().nullable(),
    attempts: z.int().describe('Slices in a row that ended in trouble'),
    faults: z
      .partialRecord(z.enum(faultNames), z.int())
      .describe('How often its batches ended in a fault and changed nothing, by its kind'),
    checkpointedAt: time.nullable(),
  })
  .meta({ id: 'Range' })

export const quarantinedRowSchema = z
  .object({
    id: z.string(),
    database: databaseName.optional(),
    key: z.array(z.string()).describe('One text per key column, as Postgres writes it'),
    sqlstate: z.string(),
    message: z.string().describe('What Postgres said of this row alone, the last time'),
    attempts: z.int().describe('How often it was tried alone'),
    at: time.describe('When it was set aside for the first time'),
    lastAt: time,
    discarded: z
      .object({ at: time, by: z.string(), reason: z.string() })
      .nullable()
      .describe('Given up, and by whom; null while it keeps the run from succeeding'),
  })
  .meta({ id: 'QuarantinedRow' })

export const eventSchema = z
  .object({
    id: z.string(),
    database: databaseName.optional(),
    at: time,
    actor: z.string(),
    kind: z.string(),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Event' })

export const jobSchema = z
  .object({
    name: z.string(),
    description: z.string().nullable(),
    file: z.string(),
    table: z.string(),
    key: z.array(z.string()).nullable().describe('Null: the primary key'),
    options: partialRunOptions,
    params: z.unknown().describe('JSON Schema of the parameters'),
  })
  .meta({ id: 'Job' })

export const brokenFileSchema = z
  .object({ file: z.string(), line: z.int().nullable(), error: z.string() })
  .meta({ id: 'BrokenFile' })

export const startRunSchema = strictObject({
  job: z.string(),
  params: z.record(z.string(), z.unknown()).optional(),
  options: partialRunOptions.optional(),
  again: z
    .boolean()
    .optional()
    .describe(
      'Start a job without a predicate although a run with these parameters has succeeded: it does each row once more',
    ),
  dryRun: z.boolean().optional().describe('Execute a few batches, roll them back, and report'),
  plan: z.boolean().optional().describe('Have the report of a dry run hold the plan of a batch'),
  databases: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Those of DATABASES that the run shall span; all of them where absent'),
})
  .refine(({ dryRun, plan }) => plan !== true || dryRun === true, {
    path: ['plan'],
    error: 'is part of a dry run: send "dryRun": true with it',
  })
  .meta({ id: 'StartRun' })

const longestReason = 1000

/**
 * Of a brake, which never fails for the words that come with it: what cannot be kept of them is replaced, what is too long
 * is cut, and what is no reason is none.
 */
export const brakeBody = z
  .object({
    reason: z
      .string()
      .nullish()
      .catch(null)
      .transform((reason) => (reason ? storable(reason.slice(0, longestReason)) : null))
      .describe('For those who read the events later'),
  })
  .nullish()
  .catch(null)

export const reasonBody = strictObject({
  reason: z.string().max(longestReason).optional().describe('For those who read the events later'),
}).nullish()

const restart = strictObject({
  reason: z.string().max(longestReason).optional(),
  acceptJobChange: z
    .boolean()
    .optional()
    .describe('Go on although the job is no longer what the run was accepted with'),
})

export const restartBody = restart.nullish()

const quarantinedIds = z
  .array(z.string().regex(/^\d{1,18}$/, 'must be the id of a row in quarantine'))
  .min(1)
  .max(10_000)
  .optional()
  .describe('Ids of rows in quarantine; all that are not discarded where absent')

export const retryRowsBody = restart.extend({ ids: quarantinedIds }).nullish()

export const discardRowsBody = strictObject({
  reason: z.string().min(1).max(1000).describe('Why these rows need not be done: it stays on record'),
  ids: quarantinedIds,
})

export const runIdParams = z.object({ id: z.string().max(100) })

export const partQuery = z.object({
  database: z.string().optional().describe('One of DATABASES: only the part of the run in it is meant'),
})
