import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import { type Ask, askOne } from '../postgres/ask.ts'
import { type RowOf, statement } from '../postgres/statement.ts'
import { count, inRecovery, unknown } from './messages.ts'
import { segmentsBetween } from './wal-file.ts'

const readArchiverSql = statement(
  'archive',
  {
    mode: z.string(),
    in_recovery: z.boolean(),
    current: z.string().nullable(),
    segment_bytes: z.number(),
    last: z.string().nullable(),
    failed: z.number(),
    last_failed: z.string().nullable(),
    failing: z.boolean(),
  },
  `SELECT pg_catalog.current_setting('archive_mode') AS mode, pg_catalog.pg_is_in_recovery() AS in_recovery,
      CASE WHEN NOT pg_catalog.pg_is_in_recovery()
        THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END AS current,
      pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::float8 AS segment_bytes,
      last_archived_wal AS last, failed_count::float8 AS failed, last_failed_wal AS last_failed,
      coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing
    FROM pg_catalog.pg_stat_archiver`,
)

/** Complete WAL segments that are not archived yet. */
export async function archive(ask: Ask): Promise<Reading[]> {
  const archiver = await askOne(ask, readArchiverSql)
  if (archiver.mode === 'off') return []
  if (archiver.in_recovery || archiver.current === null) return [unknown('archive', inRecovery)]
  if (archiver.last === null) return [unknown('archive', neverArchived(archiver))]
  const waiting = segmentsBetween(archiver.last, archiver.current, archiver.segment_bytes)
  if (waiting === null) {
    return [unknown('archive', `the last archived file, ${archiver.last}, is not a WAL segment: wait for the next one`)]
  }
  const trouble = archiver.failing ? `, which fails on ${archiver.last_failed} (see the server's log)` : ''
  return [{ signal: 'archive', value: waiting, detail: `the archiver${trouble}` }]
}

function neverArchived({ failed, last_failed }: RowOf<typeof readArchiverSql>): string {
  return failed > 0
    ? `archiving has failed ${count(failed, 'time', 'times')} and never succeeded, last on ${last_failed}: see the server's log, and fix archive_command or archive_library`
    : 'nothing has been archived since the statistics began: wait for the first segment, or SELECT pg_switch_wal()'
}
