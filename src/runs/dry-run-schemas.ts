import { z } from 'zod'

const growthSchema = z.object({
  tableBytes: z.number(),
  indexBytes: z.number(),
  ratio: z.number().describe('Both, as a part of what table and indexes have now'),
})

export const spaceSchema = z
  .object({
    summary: z.string(),
    tableBytes: z.number(),
    indexBytes: z.number(),
    rowsToChange: z.number().describe('An estimate, by a sample of the table'),
    rowBytes: z.number().describe('What such a row takes now'),
    newRowBytes: z.number().describe('And once it is changed'),
    hotShare: z.number().describe('Of the updates, those that stay on their page and leave the indexes alone'),
    hotMeasured: z.boolean().describe('Seen in the batches that were rolled back, not worked out'),
    withoutVacuum: growthSchema,
    withVacuum: growthSchema.nullable().describe('Null where vacuum does not come by itself'),
    indexes: z.array(z.object({ name: z.string(), method: z.string(), bytes: z.number() })),
    findings: z.array(z.string()).describe('What makes the table grow or the run slow or wait, why, and what to do'),
  })
  .meta({ id: 'Space' })

export const dryRunSchema = z
  .object({
    job: z.string(),
    table: z.string(),
    rowsTotal: z.number().describe("An estimate, by the table's statistics"),
    batches: z.int().describe('Batches that were executed and rolled back'),
    rowsScanned: z.number(),
    rowsMatched: z.number(),
    rowsChanged: z.number(),
    rowsPerSecond: z.number(),
    wouldFail: z
      .string()
      .nullable()
      .describe('With what reason a run fails at the rows that were looked at; null where they give it none'),
    refusals: z.array(z.string()).describe('Why a start would be refused at this moment, each with what to do'),
    failing: z
      .array(
        z.object({
          sqlstate: z.string(),
          message: z.string(),
          rows: z.int(),
          keys: z.array(z.array(z.string())).describe('Of up to ten of them'),
        }),
      )
      .describe('Rows that fail by themselves, which a run sets aside, counted by what Postgres says'),
    samples: z.array(z.object({ before: z.unknown(), after: z.unknown() })).describe('Long values are cut'),
    plan: z
      .unknown()
      .optional()
      .describe('The plan of one batch, as EXPLAIN (ANALYZE, FORMAT JSON) gives it; where "plan": true asked for it'),
    estimate: z.object({
      seconds: z
        .number()
        .nullable()
        .describe('An estimate for the whole table, with one worker that never waits, the check included'),
      walBytes: z.number().nullable().describe('An estimate for the whole table'),
      batchRows: z.int().nullable().describe('Rows of a batch once its size has settled'),
      batchSeconds: z.number().nullable().describe('What a batch costs before its first row'),
    }),
    space: spaceSchema.nullable().describe('How much table and indexes will grow; null where it cannot be told'),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'DryRun' })

export const dryRunsSchema = z
  .object({ job: z.string(), databases: z.record(z.string(), dryRunSchema) })
  .meta({ id: 'DryRuns', description: 'Where DATABASES is set: a dry run in each database' })
