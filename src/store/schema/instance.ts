import { z } from 'zod'
import { command, statement } from '../../postgres/statement.ts'
import type { Control } from '../control.ts'

const readInstanceSql = statement('readInstance', { id: z.string() }, (s) => `SELECT id FROM ${s}.instance`)

/** The control schema's own identity, made with it. */
export async function readInstance(control: Control): Promise<string> {
  return (await readInstanceSql.one(control)).id
}

const pingStoreSql = command('pingStore', (s) => `SELECT FROM ${s}.instance`)

/** Fails when the control schema cannot be read. */
export async function pingStore(control: Control): Promise<void> {
  await pingStoreSql.run(control)
}
