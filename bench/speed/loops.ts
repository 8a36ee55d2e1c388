import { doLoopSql } from '../peers/do-loop.ts'
import { bigUpdateSql } from '../peers/update.ts'
import { etlLoop, rowByRowLoop } from './loops/guides.ts'
import { keysetLoop } from './loops/keyset.ts'
import type { Loop } from './loops/loop.ts'
import { pgrollLoop } from './loops/pgroll.ts'

/** What all others are compared with. */
export const bigUpdate = 'one big UPDATE'
export const doLoop = 'DO loop of the guides'
/** What one worker of evenkeel is compared with. */
export const keysetLoops = ['SQL keyset loop by 1000', 'SQL keyset loop by 10000'] as const

/** The peers by their names. */
export const loops: Readonly<Record<string, Loop>> = {
  [bigUpdate]: inOne(bigUpdateSql),
  [doLoop]: inOne(doLoopSql(10_000)),
  'ETL loop of the guides': etlLoop,
  'row-by-row loop of the guides': rowByRowLoop,
  "pgroll's statement": pgrollLoop,
  [keysetLoops[0]]: keysetLoop(1000),
  [keysetLoops[1]]: keysetLoop(10_000),
}

function inOne(statement: string): Loop {
  return async (client) => {
    await client.query(statement)
  }
}
