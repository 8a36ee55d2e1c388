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
    kind: z
      .enum(shownEventKinds)
      .describe(
        'What happened; `unknown` where another release has written it: then `detail` has its kind and its detail',
      ),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Event' })
