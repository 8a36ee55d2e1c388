import type { Control } from './control.ts'

/** Standbys that have been seen to stream, and how many by each name. */
export async function listStandbys({ db, s }: Control): Promise<Map<string, number>> {
  const { rows } = await db.query<{ name: string; count: number }>(
    `SELECT name, count FROM ${s}.standbys ORDER BY name`,
  )
  return new Map(rows.map(({ name, count }) => [name, count]))
}

/** Several processes look, and each may have seen another moment: the most that were ever seen counts. */
export async function rememberStandbys({ db, s }: Control, seen: ReadonlyMap<string, number>): Promise<void> {
  await db.query(
    `INSERT INTO ${s}.standbys AS known (name, count)
     SELECT name, count FROM unnest($1::text[], $2::int[]) AS seen (name, count) ORDER BY name
     ON CONFLICT (name) DO UPDATE SET count = excluded.count WHERE excluded.count > known.count`,
    columnsOf(seen),
  )
}

/** These and no others: who counted before is forgotten. */
export async function replaceStandbys({ db, s }: Control, standbys: ReadonlyMap<string, number>): Promise<void> {
  await db.query(
    `WITH forgotten AS (DELETE FROM ${s}.standbys WHERE name <> ALL ($1::text[]))
     INSERT INTO ${s}.standbys (name, count)
     SELECT name, count FROM unnest($1::text[], $2::int[]) AS seen (name, count) ORDER BY name
     ON CONFLICT (name) DO UPDATE SET count = excluded.count`,
    columnsOf(standbys),
  )
}

function columnsOf(standbys: ReadonlyMap<string, number>): [string[], number[]] {
  return [[...standbys.keys()], [...standbys.values()]]
}
