import { z } from 'zod'

const rows = z.int().min(1).max(100_000)

const fields = {
  batchSize: z
    .union([
      rows,
      z
        .strictObject({ min: rows, max: rows })
        .refine((size) => size.min <= size.max, { error: 'batchSize.min is above batchSize.max' }),
    ])
    .describe(
      'Rows a window passes over: bounds between which it follows the batch time, or one number that fixes it.',
    ),
  parallelism: z.int().min(1).max(64).describe('How many workers may have ranges of this run at once.'),
  maxRowsPerSecond: z
    .number()
    .positive()
    .nullable()
    .describe(
      'Rows per second that the run as a whole passes over at most; null for no limit. The residual check, which only reads, is not held to it.',
    ),
  targetBatchSeconds: z.number().min(0.001).max(5).describe('How long one batch should take, in seconds.'),
}

/** What a run may be told about its pace, with every field present. */
export const runOptions = z.strictObject(fields)
export type RunOptions = z.infer<typeof runOptions>

/** The same words, each of them optional: in a job, in `POST /runs` and in `PATCH /runs/:id`. */
export const partialRunOptions = runOptions.partial()
export type PartialRunOptions = z.infer<typeof partialRunOptions>

/** Safe on a database that serves others: small batches, two workers, no faster than the batch time allows. */
export const defaultRunOptions: RunOptions = {
  batchSize: { min: 50, max: 10_000 },
  parallelism: 2,
  maxRowsPerSecond: null,
  targetBatchSeconds: 0.02,
}

/** Later layers win: defaults, then the job's, then those given at start, then each PATCH. A word left undefined says nothing. */
export function mergeOptions(base: RunOptions, ...layers: PartialRunOptions[]): RunOptions {
  const said = layers.map((layer) =>
    Object.fromEntries(Object.entries(layer).filter(([, value]) => value !== undefined)),
  )
  return runOptions.parse(Object.assign({}, base, ...said))
}
