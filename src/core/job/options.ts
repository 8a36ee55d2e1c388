import { z } from 'zod'
import { Problem } from '../errors.ts'
import { scheduleFault } from '../throttle/schedule.ts'
import { minDeadRows, signalNames } from '../throttle/signal.ts'
import { explainObject, strictObject } from './strict-object.ts'

const rows = z.int().min(1).max(100_000)
const seconds = z.number().min(0.001).max(5)

const bySeconds = ['replica-lag', 'heartbeat'] as const

const sizeForm = 'a number of rows from 1 to 100000, or bounds such as {"min": 50, "max": 1000}'
const timeForm = 'a number of seconds from 0.001 to 5, or bounds such as {"min": 0.001, "max": 0.3}'
const sizeMeaning =
  'Rows a window passes over: bounds between which it follows the batch time, or one number that fixes it.'
const timeMeaning =
  'How long one batch should take, in seconds. Two bounds: a batch is short while foreground sessions work, and long while none does. One number fixes it.'

function bounds(value: z.ZodNumber) {
  return strictObject({ min: value, max: value }).refine(({ min, max }) => min <= max, { error: 'min is above max' })
}

/** Bounds, one of which may be left out and then keeps its value. */
function partialBounds(value: z.ZodNumber) {
  return strictObject({ min: value.optional(), max: value.optional() })
    .refine(({ min, max }) => min !== undefined || max !== undefined, { error: 'give min, max or both' })
    .refine(({ min = 0, max = Number.POSITIVE_INFINITY }) => min <= max, { error: 'min is above max' })
}

const fields = {
  batchSize: z.union([rows, bounds(rows)], { error: sizeForm }).describe(sizeMeaning),
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
  targetBatchSeconds: z.union([seconds, bounds(seconds)], { error: timeForm }).describe(timeMeaning),
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
      if (typeof dead === 'number' && dead >= 1 && !(Number.isInteger(dead) && dead >= minDeadRows)) {
        context.addIssue({
          code: 'custom',
          path: ['dead-tuples'],
          message: `a part of the table below 1 (0.2 is a fifth), or a number of dead rows of at least ${minDeadRows}`,
        })
      }
    })
    .describe(
      'Which signals count, by name: false for not, true for with its usual limit, a number for a limit of its own at which the run is held. Those not named count as usual. For dead-tuples a number of 1000 or more is dead rows.',
    ),
  schedule: strictObject({ cron: z.string().max(200), timeZone: z.string().max(100) })
    .superRefine((schedule, context) => {
      const fault = scheduleFault(schedule)
      if (fault) context.addIssue({ code: 'custom', message: fault })
    })
    .nullable()
    .describe(
      'The only minutes in which the run may work, as a cron expression ("* 22-23,0-5 * * *") in a time zone; null for always.',
    ),
}

/** All options of a run, every field present. */
export const runOptions = strictObject(fields)
export type RunOptions = z.infer<typeof runOptions>

/** The same options, each optional, for a job and `POST /runs`. One of two bounds is enough. */
export const partialRunOptions = strictObject({
  ...fields,
  batchSize: z.union([rows, partialBounds(rows)], { error: sizeForm }).describe(sizeMeaning),
  targetBatchSeconds: z.union([seconds, partialBounds(seconds)], { error: timeForm }).describe(timeMeaning),
}).partial()

/** The options in `PATCH /runs/:id`. */
export const patchedRunOptions = z
  .strictObject(partialRunOptions.shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' && (issue.keys as string[] | undefined)?.includes('options')
        ? 'PATCH takes the options themselves: {"batchSize": 100}, not {"options": {"batchSize": 100}}'
        : explainObject(issue),
  })
  .refine((options) => Object.values(options).some((value) => value !== undefined), {
    error: 'name at least one option to change',
  })
export type PartialRunOptions = z.infer<typeof partialRunOptions>

/** Safe on a busy database: small batches, two workers, no faster than the batch time and the signals allow. */
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
 * Merges options. Later layers win: the defaults, the job's, those given at start, then each PATCH. An undefined option
 * changes nothing. A signal, or one of two bounds, that a layer does not name keeps its value. Throws a Problem
 * (`invalid`) if bounds of several layers contradict each other.
 */
export function mergeOptions(base: RunOptions, ...layers: PartialRunOptions[]): RunOptions {
  const said = layers.map((layer) =>
    Object.fromEntries(Object.entries(layer).filter(([, value]) => value !== undefined)),
  )
  const signals = Object.assign({}, base.signals, ...layers.map((layer) => layer.signals))
  const batchSize = mergeBounds('batchSize', base, layers)
  const targetBatchSeconds = mergeBounds('targetBatchSeconds', base, layers)
  return runOptions.parse({ ...Object.assign({}, base, ...said), signals, batchSize, targetBatchSeconds })
}

function mergeBounds(
  name: 'batchSize' | 'targetBatchSeconds',
  base: RunOptions,
  layers: readonly PartialRunOptions[],
): number | { min: number; max: number } {
  let merged = base[name]
  for (const { [name]: layer } of layers) {
    if (layer === undefined) continue
    if (typeof layer === 'number') {
      merged = layer
      continue
    }
    // Bounds replace a fixed number. The bound that is not named is the default one.
    const { min, max } = typeof merged === 'number' ? (defaultRunOptions[name] as Bounds) : merged
    merged = { min: layer.min ?? min, max: layer.max ?? max }
  }
  if (typeof merged === 'object' && merged.min > merged.max) {
    throw new Problem(
      'invalid',
      `${name}.min would be ${merged.min} and ${name}.max ${merged.max}: give both bounds, the smaller one as min.`,
    )
  }
  return merged
}

interface Bounds {
  readonly min: number
  readonly max: number
}
