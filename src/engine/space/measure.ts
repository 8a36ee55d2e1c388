import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { Target } from '../../core/range/key.ts'
import { type IndexFacts, type SpaceFacts, type TableFacts, tablePartsSchema } from '../../core/space/forecast.ts'
import { jsonb, type Queryable, type RowOf, statement } from '../../postgres/statement.ts'
import { withParts } from '../inspect/parts.ts'
import { listTriggers } from '../inspect/triggers.ts'
import type { ResolvedJob } from '../kinds/kind.ts'
import { sampleRows } from './sample.ts'

/**
 * `written`: the columns of each part that change with a row: those of `set` (in `$3`), and those generated from them.
 * They are found by name, because their numbers differ between partitions.
 */
const withWritten = `${withParts}, written AS (
    SELECT a.attrelid, a.attnum FROM pg_attribute a JOIN parts p ON p.oid = a.attrelid
    WHERE a.attname = ANY($3) AND NOT a.attisdropped
    UNION
    SELECT d.adrelid, d.adnum FROM pg_attrdef d
    JOIN pg_attribute g ON g.attrelid = d.adrelid AND g.attnum = d.adnum AND g.attgenerated = 's'
    -- Before 15 it is the column that depends on others, since then it is its expression.
    JOIN pg_depend r ON r.refclassid = 'pg_class'::regclass AND r.refobjid = d.adrelid
      AND ((r.classid = 'pg_attrdef'::regclass AND r.objid = d.oid)
        OR (r.classid = 'pg_class'::regclass AND r.objid = d.adrelid AND r.objsubid = d.adnum))
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = r.refobjsubid
    JOIN parts p ON p.oid = d.adrelid
    WHERE a.attname = ANY($3)
  )`

/** Everything that decides how much space a backfill takes, as far as it can be read without changing a row. */
export async function readSpace(client: ClientBase, s: string, target: Target, job: ResolvedJob): Promise<SpaceFacts> {
  const { schema, table, estimatedRows } = target
  const columns = job.set.map(([column]) => column)
  const facts = await readTable(client, target)
  return {
    ...facts,
    rows: Math.max(0, estimatedRows),
    sample: await sampleRows(client, s, target, job, facts.heapBytes / facts.pageBytes),
    indexes: await listIndexes(client, schema, table, columns),
    triggers: await listTriggers(client, target, columns),
    references: await listReferences(client, schema, table, columns),
  }
}

const readTableSql = statement(
  'readTable',
  {
    table: z.string(),
    pageBytes: z.number(),
    heapBytes: z.number(),
    toastBytes: z.number(),
    deadRows: z.number(),
    fill: z.number(),
    parts: jsonb(tablePartsSchema),
  },
  `${withParts}
     SELECT format('%I.%I', $1::text, $2::text) AS table, current_setting('block_size')::int AS "pageBytes",
       coalesce(sum(pg_relation_size(p.oid)), 0)::float8 AS "heapBytes",
       coalesce(sum(pg_relation_size(nullif(c.reltoastrelid, 0))), 0)::float8 AS "toastBytes",
       coalesce(sum(pg_stat_get_dead_tuples(p.oid)), 0)::float8 AS "deadRows",
       coalesce(avg(coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions)
         WHERE option_name = 'fillfactor'), 100)), 100)::float8 / 100 AS fill,
       coalesce(jsonb_agg(jsonb_build_object('oid', p.oid::text, 'bytes', pg_relation_size(p.oid))), '[]') AS parts
     FROM parts p JOIN pg_class c ON c.oid = p.oid WHERE p.relkind = 'r'`,
)

function readTable(client: ClientBase, { schema, table }: Target): Promise<TableFacts> {
  return readTableSql.one({ db: client }, [schema, table])
}

/**
 * Every index that is written; those of partitions as the index that they belong to. A column that is only included
 * counts as one of the key too, because it also keeps an update from being HOT. Other columns that the index depends on
 * are in its expressions or in its predicate.
 */
const listWrittenIndexesSql = statement(
  'listWrittenIndexes',
  {
    name: z.string(),
    method: z.string(),
    bytes: z.number(),
    valid: z.boolean(),
    unique: z.boolean(),
    ofConstraint: z.boolean(),
    partitioned: z.boolean(),
    summarizing: z.boolean(),
    predicate: z.string().nullable(),
    hasExpressions: z.boolean(),
    key: z.array(z.string()),
    computed: z.array(z.string()),
    parts: z.array(z.string()),
  },
  `${withWritten}, found AS (
       SELECT coalesce(pg_partition_root(i.indexrelid), i.indexrelid) AS root, i.*,
         ARRAY(SELECT a.attname::text FROM pg_attribute a JOIN written w USING (attrelid, attnum)
           WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) ORDER BY 1) AS key,
         ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend d
           JOIN written w ON w.attrelid = d.refobjid AND w.attnum = d.refobjsubid
           JOIN pg_attribute a ON a.attrelid = w.attrelid AND a.attnum = w.attnum
           WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass
             AND d.refobjid = i.indrelid AND NOT a.attnum = ANY(i.indkey) ORDER BY 1) AS computed
       FROM pg_index i JOIN parts p ON p.oid = i.indrelid AND p.relkind = 'r' WHERE i.indislive
     )
     SELECT format('%I.%I', n.nspname, c.relname) AS name, am.amname AS method,
       sum(pg_relation_size(f.indexrelid))::float8 AS bytes,
       bool_and(f.indisvalid) AS valid, bool_and(f.indisunique) AS "unique",
       EXISTS (SELECT FROM pg_constraint WHERE conindid = f.root AND contype IN ('p', 'u', 'x')) AS "ofConstraint",
       c.relkind = 'I' AS partitioned,
       am.amname = 'brin' AND current_setting('server_version_num')::int >= 160000 AS summarizing,
       min(pg_get_expr(f.indpred, f.indrelid)) AS predicate, bool_or(f.indexprs IS NOT NULL) AS "hasExpressions",
       min(f.key) AS key, min(f.computed) AS computed, array_agg(f.indrelid::text) AS parts
     FROM found f JOIN pg_class c ON c.oid = f.root JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_am am ON am.oid = c.relam
     GROUP BY f.root, n.nspname, c.relname, c.relkind, am.amname ORDER BY bytes DESC, name`,
)

function listIndexes(
  client: ClientBase,
  schema: string,
  table: string,
  columns: readonly string[],
): Promise<IndexFacts[]> {
  return listWrittenIndexesSql.rows({ db: client }, [schema, table, columns])
}

/** Foreign keys over the columns, each with the table in which it looks up the new value. */
const listReferencesSql = statement(
  'listReferences',
  { name: z.string(), table: z.string(), deferred: z.boolean() },
  `SELECT quote_ident(k.conname) AS name, format('%I.%I', rn.nspname, r.relname) AS table, k.condeferred AS deferred
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
     WHERE k.contype = 'f' AND n.nspname = $1 AND c.relname = $2 AND EXISTS (SELECT FROM pg_attribute a
       WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey) AND a.attname = ANY($3))
     ORDER BY name`,
)

function listReferences(
  client: ClientBase,
  schema: string,
  table: string,
  columns: readonly string[],
): Promise<SpaceFacts['references']> {
  return listReferencesSql.rows({ db: client }, [schema, table, columns])
}

const readHotUpdatesSql = statement(
  'readHotUpdates',
  { updated: z.number(), hot: z.number() },
  `${withParts}
     SELECT coalesce(sum(pg_stat_get_xact_tuples_updated(oid)), 0)::float8 AS updated,
       coalesce(sum(pg_stat_get_xact_tuples_hot_updated(oid)), 0)::float8 AS hot FROM parts WHERE relkind = 'r'`,
)

/** What the batches of a rehearsal did to the table, as Postgres counts it within their transaction. */
export function readHotUpdates(
  session: Queryable,
  { schema, table }: Target,
): Promise<RowOf<typeof readHotUpdatesSql>> {
  return readHotUpdatesSql.one({ db: session }, [schema, table])
}
