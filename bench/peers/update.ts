import { target } from '../support/target.ts'
import type { Peer } from './peer.ts'
import { runInSession } from './session.ts'

const { table, column, value } = target
const sessions = 'peer update'

/** One statement for the whole table: the fastest there is, and every row it has passed stays locked until its end. */
export const bigUpdateSql = `UPDATE ${table} SET ${column} = ${value} WHERE ${column} IS NULL`

export const bigUpdate: Peer = {
  name: 'one big UPDATE',
  sessions,
  start: (databaseUrl) => runInSession(databaseUrl, sessions, bigUpdateSql),
}
