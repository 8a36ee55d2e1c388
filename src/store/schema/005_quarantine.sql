-- Rows that fail by themselves, and faults.

-- Stands for a key in an index, whose entries are limited to 2704 bytes. A key as text can be longer than in its own
-- table. The text form of a text array is the same under all settings.
CREATE FUNCTION key_digest(key text[]) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT pg_catalog.sha256(pg_catalog.convert_to(key::text, 'UTF8')) $$;

CREATE TABLE quarantine (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id         text NOT NULL REFERENCES runs ON DELETE CASCADE,
  key            text[] NOT NULL,
  digest         bytea NOT NULL GENERATED ALWAYS AS (key_digest(key)) STORED,
  -- The oid of the row's partition; null for an unpartitioned table.
  leaf           text,
  -- The last error of Postgres for this row alone.
  sqlstate       text NOT NULL,
  message        text NOT NULL,
  -- How often the row was tried alone. A retried row keeps its number.
  attempts       int NOT NULL,
  since          timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Discarded by an operator, with a reason. The row stays on record and no longer keeps the run from succeeding.
  discarded_at   timestamptz,
  discarded_by   text,
  discard_reason text,
  UNIQUE (run_id, digest)
);

-- The rows are counted for each row that is set aside.
CREATE INDEX quarantine_kept ON quarantine (run_id) WHERE discarded_at IS NULL;

-- How often a straggler failed in quarantine before it was retried, and its partition.
ALTER TABLE stragglers ADD COLUMN failures int NOT NULL DEFAULT 0, ADD COLUMN leaf text;

-- How often batches of the range ended in a fault, by kind of fault.
ALTER TABLE ranges ADD COLUMN faults jsonb NOT NULL DEFAULT '{}';

-- Whether batch_size is small because larger windows failed. Then it also applies below the bounds of the options.
ALTER TABLE ranges ADD COLUMN turned_away boolean NOT NULL DEFAULT false;

-- New options.
UPDATE runs SET options = '{"maxQuarantined": 100, "succeedWithQuarantined": false}' || options;
