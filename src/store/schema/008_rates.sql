-- The rate of a run as a whole, the time it has worked, and what its check finds in bulk.

-- A token bucket for each run. Workers draw rows from it in portions, so that it is not written once a batch.
CREATE TABLE rates (
  run_id        text PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  -- Rows that may be passed over at once; below 0 where some were drawn ahead of their time.
  rows          double precision NOT NULL DEFAULT 1,
  counted_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Since when, and until when, workers wait for rows.
  waiting_since timestamptz,
  waiting_until timestamptz,
  -- How long they have waited so far, by the clock: waits at the same time count once.
  waited_ms     double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
INSERT INTO rates (run_id) SELECT id FROM runs;

-- How long the run was running, up to the last time it began to; and since when it is, null while it is not.
ALTER TABLE runs ADD COLUMN worked_ms double precision NOT NULL DEFAULT 0, ADD COLUMN working_since timestamptz;
UPDATE runs SET working_since = coalesce(started_at, clock_timestamp()) WHERE status = 'running';
-- What is known of runs that have ended is when they began and when they ended.
UPDATE runs SET worked_ms = extract(epoch FROM ended_at - started_at) * 1000 WHERE ended_at > started_at;

-- recent_rows fades by the clock from now on. worked_ms, recent_ms and recent_throttled_ms are written no more; processes of the
-- release before, which may still show runs, read them.
UPDATE ranges SET recent_rows = 0;
-- What batches of a millisecond wait for is less than one.
ALTER TABLE ranges ALTER COLUMN throttled_ms TYPE double precision;
-- Rows of a slice that the check has sent back, as it counted them; null for the slices that the run was planned with.
ALTER TABLE ranges ADD COLUMN rows_again bigint;

-- Slices in which the check found more rows than are worth a straggler each. They become ranges when the check is over.
CREATE TABLE leftovers (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id    text NOT NULL REFERENCES runs ON DELETE CASCADE,
  -- The range of the check that found them.
  ordinal   int NOT NULL,
  lower_key text[],
  upper_key text[] NOT NULL,
  -- Rows that the windows passed over, and those of them that still matched.
  scanned   bigint NOT NULL,
  found     bigint NOT NULL
);
CREATE INDEX leftovers_run ON leftovers (run_id, ordinal);
