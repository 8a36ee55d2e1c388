-- The rate of a run as a whole, the time it has worked, and rows that its check finds in bulk.

-- A token bucket for each run. Workers draw rows from it in portions, so that not every batch writes it.
CREATE TABLE rates (
  run_id        text PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  -- Rows that may be passed at once; below 0 if rows were drawn ahead of their time.
  rows          double precision NOT NULL DEFAULT 1,
  counted_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Since when and until when workers wait for rows.
  waiting_since timestamptz,
  waiting_until timestamptz,
  -- How long workers have waited so far, by the clock: simultaneous waits count once.
  waited_ms     double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
INSERT INTO rates (run_id) SELECT id FROM runs;

-- Time spent running before working_since; and since when the run is running, null while it is not.
ALTER TABLE runs ADD COLUMN worked_ms double precision NOT NULL DEFAULT 0, ADD COLUMN working_since timestamptz;
UPDATE runs SET working_since = coalesce(started_at, clock_timestamp()) WHERE status = 'running';
-- For ended runs only the start and the end are known.
UPDATE runs SET worked_ms = extract(epoch FROM ended_at - started_at) * 1000 WHERE ended_at > started_at;

-- From now on recent_rows fades by the clock. worked_ms, recent_ms and recent_throttled_ms are no longer written.
-- Processes of the previous release read them and may still show runs.
UPDATE ranges SET recent_rows = 0;
-- Batches of a millisecond wait for less than one.
ALTER TABLE ranges ALTER COLUMN throttled_ms TYPE double precision;
-- Rows of a slice that the check has sent back, as counted by the check; null for ranges of the plan.
ALTER TABLE ranges ADD COLUMN rows_again bigint;

-- Slices in which the check found too many rows for one straggler each. They become ranges when the check ends.
CREATE TABLE leftovers (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id    text NOT NULL REFERENCES runs ON DELETE CASCADE,
  -- The range of the check that found them.
  ordinal   int NOT NULL,
  lower_key text[],
  upper_key text[] NOT NULL,
  -- Rows that the windows passed, and those of them that still matched.
  scanned   bigint NOT NULL,
  found     bigint NOT NULL
);
CREATE INDEX leftovers_run ON leftovers (run_id, ordinal);
