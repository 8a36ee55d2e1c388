import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { command, statement } from '../../postgres/statement.ts'
import type { Control } from '../control.ts'

/**
 * The control schema for a program that knows it up to a version: each transaction begins with a look at the version, and
 * one that finds a newer one throws a Problem and changes nothing. The look holds a lock until the transaction ends, which
 * `migrate` waits for: what has looked is done before a migration begins, or begins after it. `onNewer` hears of each refusal.
 */
export function guardSchemaVersion(control: Control, version: number, onNewer: (problem: Problem) => void): Control {
  return {
    ...control,
    transaction: (work) =>
      control.transaction(async (tx) => {
        const found = await readVersion(tx)
        if (found <= version) return work(tx)
        const problem = newerSchema(control.schema, found, version)
        onNewer(problem)
        throw problem
      }),
  }
}

/** What it means that the schema is at a version which the program does not know. */
export function newerSchema(schema: string, found: number, known: number): Problem {
  return new Problem(
    'unavailable',
    `Schema ${schema} is at version ${found}, this evenkeel knows up to ${known}. Start the newer release instead.`,
  )
}

const readVersionSql = statement(
  'readVersion',
  { version: z.number() },
  (s) => `SELECT coalesce(max(version), 0)::int AS version FROM ${s}.schema_version`,
)

/** 0 where no migration has been applied. */
export async function readVersion(control: Control): Promise<number> {
  return (await readVersionSql.one(control)).version
}

const lockVersionSql = command('lockVersion', (s) => `LOCK TABLE ${s}.schema_version IN ACCESS EXCLUSIVE MODE`)

/** Waits for every transaction that has looked at the version, and lets no other one look before this one ends. */
export async function lockVersion(control: Control): Promise<void> {
  await lockVersionSql.run(control)
}
