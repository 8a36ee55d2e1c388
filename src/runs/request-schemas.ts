import { z } from 'zod'
import { partialRunOptions } from '../core/job/options.ts'
import { strictObject } from '../core/job/strict-object.ts'
import { storable } from '../core/sql/text.ts'

export const startRunSchema = strictObject({
  job: z.string(),
  params: z.record(z.string(), z.unknown()).optional(),
  options: partialRunOptions.optional(),
  again: z
    .boolean()
    .optional()
    .describe(
      'Start a job without a predicate although a run with these parameters has succeeded: it does each row again',
    ),
  dryRun: z.boolean().optional().describe('Execute a few batches, roll them back, and report'),
  plan: z.boolean().optional().describe('Include the plan of a batch in the report of a dry run'),
  databases: z.array(z.string()).min(1).optional().describe('Names in DATABASES that the run spans; all if absent'),
})
  .refine(({ dryRun, plan }) => plan !== true || dryRun === true, {
    path: ['plan'],
    error: 'is part of a dry run: send "dryRun": true with it',
  })
  .meta({ id: 'StartRun' })

const maxReasonLength = 1000

/**
 * The body of a stop command, which never fails because of its reason. Characters that cannot be stored are replaced, a
 * long reason is cut, and an invalid one is dropped.
 */
export const brakeBody = z
  .object({
    reason: z
      .string()
      .nullish()
      .catch(null)
      .transform((reason) => (reason ? storable(reason.slice(0, maxReasonLength)) : null))
      .describe('For those who read the events later'),
  })
  .nullish()
  .catch(null)

export const reasonBody = strictObject({
  reason: z.string().max(maxReasonLength).optional().describe('For those who read the events later'),
}).nullish()

const restart = strictObject({
  reason: z.string().max(maxReasonLength).optional(),
  acceptJobChange: z.boolean().optional().describe('Continue although the job has changed since the run was accepted'),
})

export const restartBody = restart.nullish()

const quarantinedIds = z
  .array(z.string().regex(/^\d{1,18}$/, 'must be the id of a row in quarantine'))
  .min(1)
  .max(10_000)
  .optional()
  .describe('Ids of rows in quarantine; if absent, all that are not discarded')

export const retryRowsBody = restart.extend({ ids: quarantinedIds }).nullish()

export const discardRowsBody = strictObject({
  reason: z.string().min(1).max(1000).describe('Why these rows need not be done; kept on record'),
  ids: quarantinedIds,
})
