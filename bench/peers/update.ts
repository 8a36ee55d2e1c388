import { target } from '../support/target.ts'
import type { Peer } from './peer.ts'
import { runInSession } from './session.ts'

const sessions = 'peer update'

/** One statement for the whole table: the fastest there is, and every row it has passed stays locked until its end. */
export const bigUpdate: Peer = {
  name: 'one big UPDATE',
  sessions,
  start: (databaseUrl) =>
    runInSession(
      databaseUrl,
      sessions,
      `UPDATE ${target.table} SET ${target.column} = ${target.value} WHERE ${target.column} IS NULL`,
      (_client, ended) => {
        let rows = 0
        ended.then(
          (result) => {
            rows = result.rowCount ?? 0
          },
          () => {},
        )
        return () => rows
      },
    ),
}
