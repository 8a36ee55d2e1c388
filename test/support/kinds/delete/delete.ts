import type { JobKind } from '../../../../src/engine/kinds/kind.ts'
import { singleStatement } from '../../../../src/engine/kinds/single-statement/runner.ts'
import type { WriteChange } from '../../../../src/engine/kinds/single-statement/statements.ts'

/** A kind of job that evenkeel does not have: it deletes the rows that match. */
export const deletion: JobKind = {
  name: 'delete',
  phases: ['keys', 'stragglers', 'residual', 'pages'],
  resolve: (_job, _params, where) => ({
    event: 'DELETE',
    set: [],
    open: (place) => singleStatement(place, where, writeDelete),
  }),
}

const writeDelete: WriteChange = (table) => {
  const keys = table.keys.map((key, index) => `${key} AS ${table.keyNames[index]}`)
  return {
    values: [],
    change: ({ from, where }) =>
      `DELETE FROM ${table.from} ${from ? `USING ${from} ` : ''}WHERE ${where} RETURNING ${keys.join(', ')}, false AS _ek_matches_still`,
  }
}
