import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { command, statement } from '../../postgres/statement.ts'
import type { Control } from '../control.ts'

/**
 * Guards a control schema for a program that knows it up to a version. Each transaction first reads the version. If
 * that is newer, it calls `onNewer`, throws a Problem and changes nothing. The read holds a lock until the transaction
 * ends, and `migrate` waits for that lock. A guarded transaction therefore runs entirely before or entirely after a
 * migration.
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

/** The Problem for a schema version that this program does not know. */
export function newerSchema(schema: string, found: number, known: number): Problem {
  return new Problem(
    'unavailable',
    `Schema ${schema} is at version ${found}, but this release of evenkeel supports versions up to ${known}. Start the newer release instead.`,
  )
}

const readVersionSql = statement(
  'readVersion',
  { version: z.number() },
  (s) => `SELECT coalesce(max(version), 0)::int AS version FROM ${s}.schema_version`,
)

/** The applied version; 0 without any migration. */
export async function readVersion(control: Control): Promise<number> {
  return (await readVersionSql.one(control)).version
}

const lockVersionSql = command('lockVersion', (s) => `LOCK TABLE ${s}.schema_version IN ACCESS EXCLUSIVE MODE`)

/** Waits for every transaction that has read the version, and blocks further reads until this transaction ends. */
export async function lockVersion(control: Control): Promise<void> {
  await lockVersionSql.run(control)
}
