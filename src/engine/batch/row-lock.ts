import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { Leaf, Target } from '../../core/range/key.ts'
import { statement } from '../../postgres/statement.ts'
import type { ResolvedJob } from '../kinds/kind.ts'
import { eq, minus } from './operators.ts'

const touchesUniqueIndexSql = statement(
  'touchesUniqueIndex',
  { unique: z.boolean() },
  (s) => `SELECT EXISTS (
       SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a
         ON a.attrelid ${eq} i.indrelid AND a.attnum ${eq} ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts ${minus} 1])
       WHERE i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND a.attname ${eq} ANY ($2::pg_catalog.name[])
         AND (i.indrelid ${eq} $1::pg_catalog.oid
           OR ($3::pg_catalog.bool AND i.indrelid ${eq} ANY (ARRAY(SELECT l.oid FROM ${s}.leaves($4, $5) AS l))))
     ) AS unique`,
)

/**
 * How rows must be locked before this job changes them, by the table's present indexes: some may have been added or
 * dropped since the run was accepted. Postgres counts the columns of plain unique indexes as key columns of the row,
 * whatever the job's key is. It does so as soon as an index is there, valid or not. For a partitioned table as a whole,
 * the indexes of all partitions count.
 */
export async function readRowLock(
  client: ClientBase,
  s: string,
  target: Target,
  leaf: Leaf | null,
  job: ResolvedJob,
): Promise<Target['rowLock']> {
  if (job.event === 'DELETE') return 'UPDATE'
  const written = job.set.map(([name]) => name)
  const { oid } = leaf ?? target
  const { unique } = await touchesUniqueIndexSql.one({ db: client, s }, [
    oid,
    written,
    target.partitioned && !leaf,
    target.schema,
    target.table,
  ])
  return unique ? 'UPDATE' : 'NO KEY UPDATE'
}
