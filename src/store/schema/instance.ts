import { z } from 'zod'
import { command, statement } from '../../postgres/statement.ts'
import type { Control } from '../control.ts'

const readInstanceSql = statement('readInstance', { id: z.string() }, (s) => `SELECT id FROM ${s}.instance`)

/** The identity of the control schema, created with it. */
export async function readInstance(control: Control): Promise<string> {
  return (await readInstanceSql.one(control)).id
}

const pingStoreSql = command('pingStore', (s) => `SELECT FROM ${s}.instance`)

/** Throws if the control schema cannot be read. */
export async function pingStore(control: Control): Promise<void> {
  await pingStoreSql.run(control)
}
