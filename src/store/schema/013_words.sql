-- The API's words: a global pause, the signals foreground and commit-latency, the events drained and found-remaining.

ALTER TABLE standstill RENAME TO global_pause;

ALTER TABLE pauses DROP CONSTRAINT pauses_kind_check;
UPDATE pauses SET kind = 'global' WHERE kind = 'everything';
ALTER TABLE pauses ADD CONSTRAINT pauses_kind_check CHECK (kind IN ('run', 'global', 'job'));

UPDATE events SET kind = CASE kind WHEN 'settle' THEN 'drained' ELSE 'found-remaining' END WHERE kind IN ('settle', 'leftover');

CREATE FUNCTION renamed(signal text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE signal WHEN 'standstill' THEN 'global-pause' WHEN 'others' THEN 'foreground' WHEN 'probe' THEN 'commit-latency' ELSE signal END
$$;
UPDATE runs SET options = jsonb_set(options, '{signals}', (
    SELECT jsonb_object_agg(renamed(key), value) FROM jsonb_each(options->'signals')))
WHERE options->'signals' ?| ARRAY['others', 'probe'];
UPDATE runs SET overrides = (
    SELECT jsonb_agg(one || jsonb_build_object('signal', renamed(one->>'signal'))) FROM jsonb_array_elements(overrides) AS one)
WHERE overrides <> '[]';
UPDATE runs SET hold = hold || jsonb_build_object('signal', renamed(hold->>'signal')) WHERE hold IS NOT NULL;
DROP FUNCTION renamed;

-- 012 left the key of a run without operators if its table was gone. Such a run cannot continue but is still shown.
UPDATE runs SET target = jsonb_set(target, '{key}', (
    SELECT jsonb_agg('{"operators": {"less": "", "atMost": "", "equal": "", "more": "", "operand": ""}}' || item ORDER BY n)
    FROM jsonb_array_elements(target->'key') WITH ORDINALITY AS k (item, n)))
WHERE jsonb_path_exists(target, '$.key[*] ? (!exists(@.operators))');

-- Phases are data of the program: a kind of job lists its own.
ALTER TABLE ranges RENAME COLUMN kind TO phase;
ALTER TABLE ranges DROP CONSTRAINT ranges_kind_check;

-- The pace is learned again from the start.
UPDATE pace SET state = 'null';
