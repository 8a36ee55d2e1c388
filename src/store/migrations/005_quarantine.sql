-- Rows that fail by themselves, and faults.

CREATE TABLE quarantine (
  id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id         text NOT NULL REFERENCES runs ON DELETE CASCADE,
  key            text[] NOT NULL,
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
  UNIQUE (run_id, key)
);

-- How often a straggler was in quarantine and failed before it was retried; and the partition that it was met in.
ALTER TABLE stragglers ADD COLUMN failures int NOT NULL DEFAULT 0, ADD COLUMN leaf text;

-- How often batches of the range ended in a fault, by its kind.
ALTER TABLE ranges ADD COLUMN faults jsonb NOT NULL DEFAULT '{}';

-- Whether batch_size is small because larger windows did not pass: then it holds also below the bounds of the options.
ALTER TABLE ranges ADD COLUMN turned_away boolean NOT NULL DEFAULT false;

-- Options that have come since.
UPDATE runs SET options = '{"maxQuarantined": 100, "succeedWithQuarantined": false}' || options;
