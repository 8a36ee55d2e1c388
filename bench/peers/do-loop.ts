import { target } from '../support/target.ts'
import type { Peer } from './peer.ts'
import { runInSession } from './session.ts'

const sessions = 'peer do loop'

export function doLoop(batchRows: number): Peer {
  return {
    name: `DO loop, ${batchRows} rows a batch`,
    sessions,
    start: (databaseUrl) => runInSession(databaseUrl, sessions, doLoopSql(batchRows)),
  }
}

/**
 * The loop that migration guides hand out: rows that are not done yet, found anew for every batch by the predicate alone,
 * with a commit and a tenth of a second between batches. The notice is ours.
 */
export function doLoopSql(batchRows: number): string {
  const { table, key, column, value } = target
  return `DO $$
    DECLARE
      changed int;
      total bigint := 0;
    BEGIN
      LOOP
        UPDATE ${table} SET ${column} = ${value}
        WHERE ${key} IN (
          SELECT ${key} FROM ${table} WHERE ${column} IS NULL LIMIT ${batchRows} FOR UPDATE SKIP LOCKED
        );
        GET DIAGNOSTICS changed = ROW_COUNT;
        EXIT WHEN changed = 0;
        COMMIT;
        total := total + changed;
        RAISE NOTICE '%', total;
        PERFORM pg_sleep(0.1);
      END LOOP;
    END $$`
}
