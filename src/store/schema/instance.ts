import type { Control } from '../control.ts'

/** The control schema's own identity, made with it. */
export async function readInstance({ db, s }: Control): Promise<string> {
  const { rows } = await db.query<{ id: string }>(`SELECT id FROM ${s}.instance`)
  const [row] = rows
  if (!row) throw new Error(`${s}.instance is empty: the control schema was tampered with`)
  return row.id
}

/** Fails when the control schema cannot be read. */
export async function pingStore({ db, s }: Control): Promise<void> {
  await db.query(`SELECT FROM ${s}.instance`)
}
