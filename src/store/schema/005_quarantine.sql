-- Rows that fail by themselves, and faults.

-- What stands for a key in an index, which takes up to 2704 bytes: as text, a key can be longer than in its table's own. Written out as
-- text, an array of text is the same under all settings.
CREATE FUNCTION key_digest(key text[]) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT pg_catalog.sha256(pg_catalog.convert_to(key::text, 'UTF8')) $$;

CREATE TABLE quarantine (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id         text NOT NULL REFERENCES runs ON DELETE CASCADE,
  key            text[] NOT NULL,
  digest         bytea NOT NULL GENERATED ALWAYS AS (key_digest(key)) STORED,
  -- The oid of the partition that it was met in; null where the table has none.
  leaf           text,
  -- What Postgres said of this row alone, the last time.
  sqlstate       text NOT NULL,
  message        text NOT NULL,
  -- How often it was tried alone; one that is retried brings its number along.
  attempts       int NOT NULL,
  since          timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Given up by somebody, with a reason: it stays on record, and no longer keeps the run from succeeding.
  discarded_at   timestamptz,
  discarded_by   text,
  discard_reason text,
  UNIQUE (run_id, digest)
);

-- How many there are is asked for each row that is set aside.
CREATE INDEX quarantine_kept ON quarantine (run_id) WHERE discarded_at IS NULL;

-- How often a straggler was in quarantine and failed before it was retried; and the partition that it was met in.
ALTER TABLE stragglers ADD COLUMN failures int NOT NULL DEFAULT 0, ADD COLUMN leaf text;

-- How often batches of the range ended in a fault, by its kind.
ALTER TABLE ranges ADD COLUMN faults jsonb NOT NULL DEFAULT '{}';

-- Whether batch_size is small because larger windows did not pass: then it holds also below the bounds of the options.
ALTER TABLE ranges ADD COLUMN turned_away boolean NOT NULL DEFAULT false;

-- Options that have come since.
UPDATE runs SET options = '{"maxQuarantined": 100, "succeedWithQuarantined": false}' || options;
