import type { ClientBase } from 'pg'
import { messageOf } from '../../core/errors.ts'
import { concernsJob } from '../../core/fault.ts'
import type { Leaf, Target } from '../../core/range/key.ts'
import { quoteIdentifier, quoteTableName } from '../../core/sql/identifier.ts'
import { type CompiledSql, compileSql } from '../../core/sql/template.ts'
import { batchValues } from '../batch/batch.ts'
import { tableSql } from '../batch/table.ts'
import type { ResolvedJob } from '../kinds/kind.ts'
import { adviceFor, type Refused } from './advice.ts'
import { explainWindow } from './explain.ts'

/**
 * Lets Postgres parse and plan each statement of the run: wrong columns, types and rights show here, not at row one.
 * Each piece of the job that is refused is reported by itself.
 */
export async function checkStatements(
  client: ClientBase,
  s: string,
  target: Target,
  job: ResolvedJob,
  leaves: readonly Leaf[],
): Promise<string[]> {
  const places = target.partitioned ? leaves : [null]
  const input = {
    runId: '',
    ordinal: 0,
    epoch: '0',
    cursor: null,
    upper: null,
    limit: 1000,
    leaseSeconds: 1,
    throttledMs: 0,
  }
  // For the first partition, and for the table as a whole.
  const runners = [...places.slice(0, 1), ...(target.partitioned ? [null] : [])].map((leaf) =>
    job.open({ s, target, leaf }),
  )
  for (const statement of runners.flatMap((runner) => runner.statements())) {
    const refused = await explain(client, { text: statement.text, values: batchValues(statement, input) })
    if (!refused) continue
    const pieces = await checkPieces(client, target, job, places[0] ?? null)
    return pieces.length > 0 ? pieces : [describe('its where or set', refused, statement.values.length > 0)]
  }
  for (const leaf of places) {
    const fault = await explainWindow(client, tableSql(target, leaf))
    if (fault) return [leaf ? `Partition ${quoteTableName(leaf)}: ${fault}` : fault]
  }
  return []
}

/** How Postgres refuses `where` and each value of `set`, asked one by one. Equal messages are given once. */
async function checkPieces(client: ClientBase, target: Target, job: ResolvedJob, leaf: Leaf | null): Promise<string[]> {
  const { from } = tableSql(target, leaf)
  const where = job.where && compileSql(job.where, 1)
  const pieces: Array<readonly [name: string, statement: CompiledSql]> = [
    ...(where ? [['where', { ...where, text: `SELECT FROM ${from} WHERE ((${where.text}\n) IS TRUE)` }] as const] : []),
    ...job.set.map(([column, value]) => {
      const { text, values } = compileSql(value, 1)
      return [`set.${column}`, { values, text: `UPDATE ${from} SET ${quoteIdentifier(column)} = (${text}\n)` }] as const
    }),
  ]
  const refusals: Array<{ readonly names: string[]; readonly refused: Refused; readonly binds: boolean }> = []
  for (const [name, statement] of pieces) {
    const refused = await explain(client, statement)
    if (!refused) continue
    const same = refusals.find((known) => known.refused.message === refused.message)
    if (same) same.names.push(name)
    else refusals.push({ names: [name], refused, binds: statement.values.length > 0 })
  }
  return refusals.map(({ names, refused, binds }) => describe(names.join(', '), refused, binds))
}

/** How Postgres refuses a statement; null if it accepts it. Throws if Postgres itself cannot answer. */
async function explain(client: ClientBase, { text, values }: CompiledSql): Promise<Refused | null> {
  try {
    await client.query(`EXPLAIN ${text}`, [...values])
    return null
  } catch (error) {
    const { code, hint, routine = '', position } = error as Record<'code' | 'hint' | 'routine' | 'position', string>
    if (code === undefined || !concernsJob(error)) throw error
    // Counted from 1, in characters and not in UTF-16 units.
    const at = position === undefined ? '' : ([...`EXPLAIN ${text}`][Number(position) - 1] ?? '')
    return { message: messageOf(error), code, hint: hint ?? null, routine, at }
  }
}

function describe(what: string, refused: Refused, binds: boolean): string {
  const advice = adviceFor(refused, binds)
  return [
    `Postgres refuses ${what}: ${refused.message}.`,
    ...(refused.hint ? [refused.hint] : []),
    ...(advice ? [advice] : []),
  ].join(' ')
}
