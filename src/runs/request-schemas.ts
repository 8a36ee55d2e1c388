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
