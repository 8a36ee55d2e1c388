-- Names that mean the same on every search_path.

-- The key columns in a run's target, each with its type and the operators by which its index compares it. Null if a
-- column, or an index that orders it, is missing.
CREATE FUNCTION key_columns(table_oid oid, names text[]) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN count(*) = cardinality(names) THEN jsonb_agg(jsonb_build_object('name', k.name,
    'type', quote_ident(tn.nspname) || '.' || quote_ident(t.typname), 'operators', operators.by_name) ORDER BY k.n) END
  FROM unnest(names) WITH ORDINALITY AS k (name, n)
  JOIN pg_attribute a ON a.attrelid = table_oid AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace,
  LATERAL (
    SELECT oc.opcfamily, oc.opcintype FROM pg_index i, unnest(i.indkey::int2[], i.indclass::oid[]) AS u (attnum, opclass)
    JOIN pg_opclass oc ON oc.oid = u.opclass AND oc.opcdefault JOIN pg_am am ON am.oid = oc.opcmethod AND am.amname = 'btree'
    WHERE i.indrelid = table_oid AND u.attnum = a.attnum ORDER BY i.indexrelid LIMIT 1
  ) AS ordered,
  LATERAL (
    SELECT jsonb_object_agg(s.how, quote_ident(n.nspname) || '.' || o.oprname) || jsonb_build_object('operand',
      (SELECT quote_ident(itn.nspname) || '.' || quote_ident(it.typname) FROM pg_type it
       JOIN pg_namespace itn ON itn.oid = it.typnamespace WHERE it.oid = ordered.opcintype)) AS by_name
    FROM (VALUES (1, 'less'), (2, 'atMost'), (3, 'equal'), (5, 'more')) AS s (strategy, how)
    JOIN pg_amop ao ON ao.amopfamily = ordered.opcfamily AND ao.amopstrategy = s.strategy
      AND ao.amoplefttype = ordered.opcintype AND ao.amoprighttype = ordered.opcintype
    JOIN pg_operator o ON o.oid = ao.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
  ) AS operators
$$;

-- Runs continue with the key that they have. A run whose table is gone has no operators to look up.
UPDATE runs SET target = jsonb_set(target, '{key}', (
    SELECT jsonb_agg(old.item || now.item ORDER BY old.n)
    FROM jsonb_array_elements(target->'key') WITH ORDINALITY AS old (item, n)
    JOIN jsonb_array_elements(found.key) WITH ORDINALITY AS now (item, n) USING (n)))
FROM (SELECT id, key_columns(nullif(target->>'oid', '')::oid, ARRAY(SELECT item->>'name'
    FROM jsonb_array_elements(target->'key') WITH ORDINALITY AS k (item, n) ORDER BY n)) AS key FROM runs) AS found
WHERE found.id = runs.id AND found.key IS NOT NULL;

CREATE OR REPLACE FUNCTION key_digest(key text[]) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT pg_catalog.sha256(pg_catalog.convert_to(key::pg_catalog.text, 'UTF8')) $$;

-- The caller's temporary tables come last. If pg_temp is not named, they come first.
DO $$
DECLARE
  f record;
BEGIN
  FOR f IN SELECT p.oid::regprocedure AS signature, p.proname FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN ('leaves', 'require_succeeded')
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', f.signature, current_schema());
  END LOOP;
END
$$;
