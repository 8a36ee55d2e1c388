import type { JobDefinition } from '../../../core/job/job.ts'
import { resolveSet, type UpdateJob } from '../../../core/job/update.ts'
import { quoteIdentifier } from '../../../core/sql/identifier.ts'
import { compileSql, type Sql } from '../../../core/sql/template.ts'
import type { JobKind } from '../kind.ts'
import { singleStatement } from '../single-statement/runner.ts'
import type { WriteChange } from '../single-statement/statements.ts'

/**
 * Sets columns of the matching rows, exactly once. Proven by the predicate, or by the number of rows if there is none.
 */
export const update: JobKind = {
  name: 'update',
  phases: ['keys', 'stragglers', 'residual', 'pages'],
  resolve(job: JobDefinition, params, where) {
    // Made by defineJob, which sets this kind.
    const set = resolveSet(job as UpdateJob, params)
    return { event: 'UPDATE', set, open: (place) => singleStatement(place, where, writeUpdate(set)) }
  },
}

/** The change of an update: its columns set to their new values. */
export function writeUpdate(set: ReadonlyArray<readonly [column: string, value: Sql]>): WriteChange {
  return (table, matchesStill, firstParameter) => {
    const values: unknown[] = []
    const assignments = set.map(([column, expression]) => {
      const compiled = compileSql(expression, firstParameter + values.length)
      values.push(...compiled.values)
      return `${quoteIdentifier(column)} = (${compiled.text}\n)`
    })
    const keys = table.keys.map((key, index) => `${key} AS ${table.keyNames[index]}`)
    return {
      values,
      change: ({ from, where }) =>
        `UPDATE ${table.from} SET ${assignments.join(', ')} ${from ? `FROM ${from} ` : ''}WHERE ${where} RETURNING ${keys.join(', ')}, ${matchesStill} AS _ek_matches_still`,
    }
  }
}
