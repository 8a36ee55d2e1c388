import type { TestDatabase } from './database.ts'

/** Types of values and parameters that statements of ours are about. */
// biome-ignore format: a list is read as one
const types = [
  'text', 'name', '"char"', 'varchar', 'bpchar', 'bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'oid', 'xid', 'tid',
  'regclass', 'timestamptz', 'timestamp', 'date', 'interval', 'jsonb', 'bytea', 'pg_lsn', 'text[]', 'int8[]', 'name[]', 'oid[]',
]
const operators = ['+', '-', '*', '/', '%', '^', '&', '||', '=', '<>', '<', '>', '<=', '>=', '->>', '->']
// biome-ignore format: a list is read as one
const functions = [
  'count', 'sum', 'min', 'max', 'avg', 'exp', 'power', 'abs', 'round', 'floor', 'ceil', 'clock_timestamp', 'now', 'unnest', 'array_agg', 'jsonb_agg',
  'bool_or', 'bool_and', 'age', 'mxid_age', 'set_config', 'current_setting', 'to_regclass', 'format', 'left', 'replace', 'sha256',
  'convert_to', 'to_char', 'jsonb_build_object', 'jsonb_object', 'jsonb_array_elements', 'generate_series', 'nextval', 'quote_ident',
  'pg_relation_size', 'pg_column_size', 'pg_total_relation_size', 'has_table_privilege', 'has_column_privilege', 'row_security_active',
  'array_remove', 'cardinality', 'starts_with', 'extract', 'date_part', 'date_trunc', 'pg_stat_get_dead_tuples', 'pg_get_expr', 'lower', 'substring',
  'row_number', 'pg_advisory_xact_lock', 'hashtextextended', 'string_agg', 'json_agg', 'json_each_text', 'pg_sleep', 'numeric', 'text', 'int8', 'int4', 'float8',
]

/**
 * What a role that may create in `public` can lay in the way there: operators, functions, types and tables under the names of
 * Postgres' own, for every pair of types. Each calls `public.caught`, and leaves a trace there whatever becomes of its transaction.
 */
export async function layTraps(database: TestDatabase, stranger: string): Promise<void> {
  const session = await database.session()
  await session.query(`GRANT USAGE, CREATE ON SCHEMA public TO ${stranger}; SET ROLE ${stranger}`)
  await session.query('CREATE SEQUENCE public.caught_count; GRANT ALL ON SEQUENCE public.caught_count TO PUBLIC')
  // A sequence counts whether or not its transaction commits; in one that only reads it cannot, and a lock of the session tells.
  await session.query(`CREATE FUNCTION public.caught(what text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
    BEGIN
      IF current_user = '${stranger}' THEN RETURN; END IF;
      IF current_setting('transaction_read_only') = 'on' THEN PERFORM pg_advisory_lock(4711); ELSE PERFORM nextval('public.caught_count'); END IF;
      RAISE EXCEPTION 'caught: %', what;
    END $$`)
  await session.query(`SET search_path = pg_catalog, pg_temp`)
  await session.query(
    `DO $do$
    DECLARE l text; r text; o text; f text;
    BEGIN
      FOREACH l IN ARRAY ${list(types)} LOOP
        FOREACH f IN ARRAY ${list(functions)} LOOP
          EXECUTE format('CREATE FUNCTION public.%I(a %s) RETURNS %2$s LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.caught(%3$L); RETURN a; END $f$', f, l, f || '(' || l || ')');
        END LOOP;
        FOREACH r IN ARRAY ${list(types)} LOOP
          EXECUTE format('CREATE FUNCTION public.trap_bool(a %s, b %s) RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.caught(%L); RETURN true; END $f$', l, r, 'an operator of ' || l || ' and ' || r);
          EXECUTE format('CREATE FUNCTION public.trap_same(a %1$s, b %2$s) RETURNS %1$s LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.caught(%3$L); RETURN a; END $f$', l, r, 'an operator of ' || l || ' and ' || r);
          FOREACH o IN ARRAY ${list(operators)} LOOP
            EXECUTE format('CREATE OPERATOR public.%s (leftarg = %s, rightarg = %s, function = public.%s)', o, l, r,
              CASE WHEN o IN ('=', '<>', '<', '>', '<=', '>=') THEN 'trap_bool' ELSE 'trap_same' END);
          END LOOP;
        END LOOP;
      END LOOP;
      FOREACH f IN ARRAY ARRAY['make_interval', 'clock_timestamp', 'now', 'pg_current_snapshot', 'pg_is_in_recovery', 'current_database'] LOOP
        EXECUTE format('CREATE FUNCTION public.%I() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.caught(%L); RETURN 1; END $f$', f, f);
      END LOOP;
      FOREACH r IN ARRAY ARRAY['int4', 'int8', 'numeric', 'float4', 'float8', 'text'] LOOP
        EXECUTE format('CREATE FUNCTION public.make_interval(secs %s) RETURNS interval LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.caught(%L); RETURN NULL; END $f$', r, 'make_interval');
      END LOOP;
      CREATE FUNCTION public.set_config(a text, b text, c bool) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.caught('set_config'); RETURN a; END $f$;
      FOREACH f IN ARRAY ARRAY['pg_class', 'pg_namespace', 'pg_attribute', 'pg_index', 'pg_type', 'pg_settings', 'pg_stat_activity', 'pg_inherits'] LOOP
        EXECUTE format('CREATE VIEW public.%I AS SELECT 1 AS oid WHERE public.caught(%L) IS NULL', f, 'view ' || f);
        EXECUTE format('GRANT SELECT ON public.%I TO PUBLIC', f);
      END LOOP;
      FOREACH f IN ARRAY ARRAY['float8', 'jsonb', 'oid', 'regclass', 'timestamptz', 'bytea', 'xid'] LOOP
        EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.text CHECK (public.caught(%L) IS NULL)', f, 'type ' || f);
      END LOOP;
    END $do$`,
  )
  await session.query('RESET ROLE')
}

/** How often a trap was run into; in vain where it was never. */
export async function countCaught(database: TestDatabase): Promise<number> {
  return database.value<number>(
    `SELECT (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM public.caught_count)::pg_catalog.int8::int
       OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*)::int FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND objid OPERATOR(pg_catalog.=) '4711'::pg_catalog.oid)`,
  )
}

function list(names: readonly string[]): string {
  return `ARRAY[${names.map((name) => `'${name}'`).join(', ')}]::pg_catalog.text[]`
}
