-- Keys with a recorded shape, and a check that does not use their index.

-- Rows that a range has recorded as stragglers; for the checks, the rows that they found.
ALTER TABLE ranges ADD COLUMN rows_left bigint NOT NULL DEFAULT 0;
ALTER TABLE ranges DROP CONSTRAINT ranges_kind_check,
  ADD CONSTRAINT ranges_kind_check CHECK (kind IN ('keys', 'stragglers', 'residual', 'pages'));

-- Ends the calling statement and undoes all that it has done, if a problem is given.
CREATE FUNCTION halt(problem text) RETURNS bigint LANGUAGE plpgsql STRICT SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION '%', problem USING ERRCODE = 'EK001';
END
$$;

-- The result for a batch that has not passed its fence: false. If the table has statement triggers, raises an error
-- instead, so that their effects are undone.
CREATE FUNCTION fence_shut(changed oid, passed bigint) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = changed AND tgenabled <> 'D' AND tgtype & 17 = 16) THEN
    RAISE EXCEPTION 'the batch is taken back: its range is no longer ours, or its run is stopped or held' USING ERRCODE = 'EK002';
  END IF;
  RETURN false;
END
$$;

-- The key of a run's table as of when the run was accepted; for existing runs, as of now.
UPDATE runs n SET target = n.target || jsonb_build_object('byLocale', false, 'shape', (
  SELECT coalesce(jsonb_agg(jsonb_build_object('attnum', a.attnum, 'typid', a.atttypid::text, 'typmod', a.atttypmod,
    'collation', a.attcollation::text, 'locale', NULL) ORDER BY k.n), '[]')
  FROM jsonb_array_elements(n.target->'key') WITH ORDINALITY AS k (value, n)
  JOIN pg_attribute a ON a.attrelid::text = n.target->>'oid' AND a.attname = k.value->>'name'));

-- Existing runs are checked page by page too.
INSERT INTO ranges (run_id, ordinal, kind, leaf)
SELECT r.run_id, max(r.ordinal) + row_number() OVER (PARTITION BY r.run_id ORDER BY r.leaf->>'oid'), 'pages', r.leaf
FROM (SELECT run_id, leaf, (SELECT max(o.ordinal) FROM ranges o WHERE o.run_id = c.run_id) AS ordinal FROM ranges c WHERE kind = 'residual') AS r
JOIN runs n ON n.id = r.run_id AND n.has_predicate AND n.status NOT IN ('succeeded', 'cancelled')
GROUP BY r.run_id, r.leaf;

-- How many rows earlier checks have found was not recorded: derive it from the counts.
UPDATE ranges r SET rows_left = sums.found
FROM (SELECT run_id, min(ordinal) FILTER (WHERE kind = 'residual') AS ordinal,
    sum(rows_done) + sum(rows_gone) + (SELECT count(*) FROM quarantine q WHERE q.run_id = g.run_id)
      - sum(rows_scanned) FILTER (WHERE kind = 'keys') AS found
  FROM ranges g GROUP BY run_id) AS sums
WHERE r.run_id = sums.run_id AND r.ordinal = sums.ordinal AND sums.found > 0;
