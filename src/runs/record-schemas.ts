import { z } from 'zod'
import { faultNames } from '../core/fault.ts'
import { phaseNames } from '../core/range/phase.ts'
import { shownEventKinds } from '../core/run/events.ts'
import { databaseName, time } from './run-schema.ts'

const key = z.array(z.string()).nullable().describe('One text per key column, as Postgres writes it')

export const rangeSchema = z
  .object({
    database: databaseName.optional(),
    ordinal: z.int(),
    phase: z.enum(phaseNames),
    partition: z.string().nullable().describe('Partition that the range belongs to; null for an unpartitioned table'),
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
    attempts: z.int().describe('Consecutive slices that ended in an error'),
    faults: z
      .partialRecord(z.enum(faultNames), z.int())
      .describe('How often batches ended in a fault and changed nothing, by kind of fault'),
    checkpointedAt: time.nullable(),
  })
  .meta({ id: 'Range' })

export const quarantinedRowSchema = z
  .object({
    id: z.string(),
    database: databaseName.optional(),
    key: z.array(z.string()).describe('One text per key column, as Postgres writes it'),
    sqlstate: z.string(),
    message: z.string().describe('The last error of Postgres for this row alone'),
    attempts: z.int().describe('How often the row was tried alone'),
    at: time.describe('When the row was first set aside'),
    lastAt: time,
    discarded: z
      .object({ at: time, by: z.string(), reason: z.string() })
      .nullable()
      .describe('When, by whom and why it was discarded; null while the row keeps the run from succeeding'),
  })
  .meta({ id: 'QuarantinedRow' })

export const eventSchema = z
  .object({
    id: z.string(),
    database: databaseName.optional(),
    at: time,
    actor: z.string(),
    kind: z
      .enum(shownEventKinds)
      .describe('What happened; `unknown` for an event of another release, with its kind and its detail in `detail`'),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Event' })
