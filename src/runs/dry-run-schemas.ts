import { z } from 'zod'

const growthSchema = z.object({
  tableBytes: z.number(),
  indexBytes: z.number(),
  ratio: z.number().describe('Growth of table and indexes, relative to their current size'),
})

export const spaceSchema = z
  .object({
    summary: z.string(),
    tableBytes: z.number(),
    indexBytes: z.number(),
    rowsToChange: z.number().describe('An estimate from a sample of the table'),
    rowBytes: z.number().describe('Current size of such a row'),
    newRowBytes: z.number().describe('Size of such a row after the change'),
    hotShare: z.number().describe('Fraction of the updates that stay on their page and leave the indexes alone'),
    hotMeasured: z.boolean().describe('Whether hotShare was measured in rolled-back batches, not computed'),
    withoutVacuum: growthSchema,
    withVacuum: growthSchema.nullable().describe('Null if vacuum does not start by itself'),
    indexes: z.array(z.object({ name: z.string(), method: z.string(), bytes: z.number() })),
    findings: z.array(z.string()).describe('Causes of growth, slowness or waits, each with the reason and what to do'),
  })
  .meta({ id: 'Space' })

export const dryRunSchema = z
  .object({
    job: z.string(),
    table: z.string(),
    rowsTotal: z.number().describe("An estimate from the table's statistics"),
    batches: z.int().describe('Batches that were executed and rolled back'),
    rowsScanned: z.number(),
    rowsMatched: z.number(),
    rowsChanged: z.number(),
    rowsPerSecond: z.number(),
    wouldFail: z
      .string()
      .nullable()
      .describe('The reason with which a run would fail at the rehearsed rows; null if it would not fail'),
    refusals: z.array(z.string()).describe('Why a start would be refused now, each with what to do'),
    failing: z
      .array(
        z.object({
          sqlstate: z.string(),
          message: z.string(),
          rows: z.int(),
          keys: z.array(z.array(z.string())).describe('Keys of up to ten of these rows'),
        }),
      )
      .describe('Rows that fail by themselves and that a run sets aside, grouped by the error of Postgres'),
    samples: z.array(z.object({ before: z.unknown(), after: z.unknown() })).describe('Long values are shortened'),
    plan: z
      .unknown()
      .optional()
      .describe('The plan of one batch, as EXPLAIN (ANALYZE, FORMAT JSON) gives it; present only with "plan": true'),
    estimate: z.object({
      seconds: z
        .number()
        .nullable()
        .describe('An estimate for the whole table with one worker that never waits, including the check'),
      walBytes: z.number().nullable().describe('An estimate for the whole table'),
      batchRows: z.int().nullable().describe('Rows of a batch once its size is stable'),
      batchSeconds: z.number().nullable().describe('Fixed cost of a batch, before its first row'),
    }),
    space: spaceSchema.nullable().describe('Growth forecast for table and indexes; null if it cannot be made'),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'DryRun' })

export const dryRunsSchema = z
  .object({ job: z.string(), databases: z.record(z.string(), dryRunSchema) })
  .meta({ id: 'DryRuns', description: 'A dry run in each database, if DATABASES is set' })
