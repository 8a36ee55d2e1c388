import { z } from 'zod'
import { scheduleFault } from './schedule.ts'
import { fewestDeadRows, signalNames } from './signal.ts'

const rows = z.int().min(1).max(100_000)
const seconds = z.number().min(0.001).max(5)

const bySeconds = ['replica-lag', 'heartbeat'] as const

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
  maxLagSeconds: z
    .number()
    .positive()
    .max(86_400)
    .describe(
      'How far replicas may be behind, in seconds: from there on the run is held. From two fifths on it slows.',
    ),
  maxRowsPerSecond: z
    .number()
    .positive()
    .nullable()
    .describe(
      'Rows per second that the run as a whole passes over at most; null for no limit. The residual check, which only reads, is not held to it.',
    ),
  targetBatchSeconds: z
    .union([
      seconds,
      z.strictObject({ min: seconds, max: seconds }).refine((target) => target.min <= target.max, {
        error: 'targetBatchSeconds.min is above targetBatchSeconds.max',
      }),
    ])
    .describe(
      'How long one batch should take, in seconds: bounds between which it is short while others are at work and long while nobody is, or one number that fixes it.',
    ),
  synchronousCommit: z
    .enum(['off', 'local', 'remote_write', 'on', 'remote_apply'])
    .describe(
      "What the commit of a batch waits for, in Postgres' words. With off, a crash of the server may cost the last batches, rows and checkpoint together, and they are done again. Holds from the next slice on.",
    ),
  maxQuarantined: z
    .int()
    .min(0)
    .max(1_000_000)
    .describe(
      'Rows that fail by themselves are set aside, in quarantine, and the run goes on: so many of them at most. One more, and the run fails: then it is not a few rows that are wrong. With 0 it fails at the first.',
    ),
  succeedWithQuarantined: z
    .boolean()
    .describe(
      'Whether a run may succeed while rows are in quarantine. False: with all else done and checked it fails, and goes on once they are retried or discarded.',
    ),
  signals: z
    .partialRecord(z.enum(signalNames), z.union([z.boolean(), z.number().positive()]))
    .superRefine((signals, context) => {
      for (const name of bySeconds) {
        if (typeof signals[name] !== 'number') continue
        context.addIssue({
          code: 'custom',
          path: [name],
          message: 'its limit is maxLagSeconds; here it is true or false',
        })
      }
      const dead = signals['dead-tuples']
      if (typeof dead === 'number' && dead >= 1 && !(Number.isInteger(dead) && dead >= fewestDeadRows)) {
        context.addIssue({
          code: 'custom',
          path: ['dead-tuples'],
          message: `a part of the table below 1 (0.2 is a fifth), or a number of dead rows of at least ${fewestDeadRows}`,
        })
      }
    })
    .describe(
      'Which signals count, by name: false for not, true for with its usual limit, a number for a limit of its own at which the run is held. Those not named count as usual. For dead-tuples a number of 1000 or more is dead rows.',
    ),
  schedule: z
    .strictObject({ cron: z.string().max(200), timeZone: z.string().max(100) })
    .superRefine((schedule, context) => {
      const fault = scheduleFault(schedule)
      if (fault) context.addIssue({ code: 'custom', message: fault })
    })
    .nullable()
    .describe(
      'The only minutes in which the run may work, as a cron expression ("* 22-23,0-5 * * *") in a time zone; null for always.',
    ),
}

/** What a run may be told about its pace, with every field present. */
export const runOptions = z.strictObject(fields)
export type RunOptions = z.infer<typeof runOptions>

/** The same words, each of them optional: in a job, in `POST /runs` and in `PATCH /runs/:id`. */
export const partialRunOptions = runOptions.partial()
export type PartialRunOptions = z.infer<typeof partialRunOptions>

/** Safe on a database that serves others: small batches, two workers, no faster than the batch time and the signals allow. */
export const defaultRunOptions: RunOptions = {
  batchSize: { min: 50, max: 10_000 },
  parallelism: 2,
  maxLagSeconds: 5,
  maxRowsPerSecond: null,
  targetBatchSeconds: { min: 0.001, max: 0.3 },
  synchronousCommit: 'off',
  maxQuarantined: 100,
  succeedWithQuarantined: false,
  signals: {},
  schedule: null,
}

/**
 * Later layers win: defaults, then the job's, then those given at start, then each PATCH. A word left undefined says
 * nothing, and a signal that a layer does not name stays as it was.
 */
export function mergeOptions(base: RunOptions, ...layers: PartialRunOptions[]): RunOptions {
  const said = layers.map((layer) =>
    Object.fromEntries(Object.entries(layer).filter(([, value]) => value !== undefined)),
  )
  const signals = Object.assign({}, base.signals, ...layers.map((layer) => layer.signals))
  return runOptions.parse({ ...Object.assign({}, base, ...said), signals })
}
