-- Ranges of partitions.

-- The partition of the range: {schema, table, oid}; null for an unpartitioned table.
ALTER TABLE ranges ADD COLUMN leaf jsonb;
-- The range is done because its partition was gone. If the partition comes back, the range is not done.
ALTER TABLE ranges ADD COLUMN gone boolean NOT NULL DEFAULT false;

UPDATE runs SET target = (target - 'locate') || jsonb_build_object('partitioned', target->>'locate' = 'key',
  'oid', coalesce(to_regclass(format('%I.%I', target->>'schema', target->>'table'))::oid::text, ''));

-- A new option.
UPDATE runs SET options = '{"synchronousCommit": "off"}' || options;

-- The leaf partitions of a table at this moment; none if it is not partitioned. Reads only the catalog:
-- pg_partition_tree locks every partition, and would wait behind another session's ALTER TABLE.
CREATE FUNCTION leaves(table_schema text, table_name text)
RETURNS TABLE (oid oid, schema text, name text, kind "char") LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  WITH RECURSIVE tree AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = table_schema AND c.relname = table_name AND c.relkind = 'p'
    UNION ALL
    SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid WHERE NOT i.inhdetachpending
  )
  SELECT c.oid, n.nspname::text, c.relname::text, c.relkind
  FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind <> 'p'
$$;
