-- The control schema. Run with search_path set to it; unqualified names are its own.

-- The identity of this schema. Services that share a queue tell their tickets apart by it.
CREATE TABLE instance (id text NOT NULL);
INSERT INTO instance SELECT left(replace(gen_random_uuid()::text, '-', ''), 12);

-- People type run ids, so an id is the job's name and a number: cities-geohash-12.
CREATE SEQUENCE run_number;

CREATE TABLE runs (
  id              text PRIMARY KEY,
  job             text NOT NULL,
  params          jsonb NOT NULL,
  params_hash     text NOT NULL,
  -- The job's work when this run was accepted. A worker whose job file differs does not touch the table.
  fingerprint     text NOT NULL,
  -- The table, its key and their types as the catalog described them then.
  target          jsonb NOT NULL,
  has_predicate   boolean NOT NULL,
  options         jsonb NOT NULL,
  status          text NOT NULL,
  -- Why the run has this status, for people; null if there is nothing to say.
  reason          text,
  -- Raised by every change of status or options. Compared with If-Match.
  version         bigint NOT NULL DEFAULT 1,
  verify_rounds   int NOT NULL DEFAULT 0,
  idempotency_key text UNIQUE,
  request_hash    text NOT NULL,
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at      timestamptz,
  ended_at        timestamptz
);

-- One live run per job and parameters. The list is liveStatuses of core/run/status.ts; a test compares them.
CREATE UNIQUE INDEX runs_live ON runs (job, params_hash)
  WHERE status IN ('queued', 'running', 'pausing', 'paused', 'cancelling', 'verifying');
CREATE INDEX runs_created_at ON runs (created_at DESC, id DESC);

-- Every batch updates one row. With a tenth of each page filled and no index on the updated columns, those updates are
-- HOT and their dead versions are pruned at once. The table stays a few pages, however long a run lasts.
CREATE TABLE ranges (
  run_id          text NOT NULL REFERENCES runs ON DELETE CASCADE,
  ordinal         int NOT NULL,
  kind            text NOT NULL CHECK (kind IN ('keys', 'stragglers', 'residual')),
  lower_key       text[],
  upper_key       text[],
  -- The last key passed; null until the first checkpoint of a range without a lower bound.
  cursor          text[],
  done            boolean NOT NULL DEFAULT false,
  -- Raised by each lease and each stop of the run. A batch with an older number finds no row to fence.
  epoch           bigint NOT NULL DEFAULT 0,
  lease_owner     text,
  lease_until     timestamptz,
  -- The one ticket that may wake this range; null if it has none.
  ticket          text,
  ticketed_at     timestamptz,
  -- The range is not woken before this time. A range of stragglers waits, and so does a range after an error.
  wake_at         timestamptz,
  attempts        int NOT NULL DEFAULT 0,
  batches         bigint NOT NULL DEFAULT 0,
  batch_size      int,
  rows_scanned    bigint NOT NULL DEFAULT 0,
  rows_done       bigint NOT NULL DEFAULT 0,
  rows_gone       bigint NOT NULL DEFAULT 0,
  worked_ms       bigint NOT NULL DEFAULT 0,
  throttled_ms    bigint NOT NULL DEFAULT 0,
  throttle        jsonb,
  -- Rows and milliseconds with fading weight. Their quotient is the rate.
  recent_rows     double precision NOT NULL DEFAULT 0,
  recent_ms       double precision NOT NULL DEFAULT 0,
  checkpointed_at timestamptz,
  PRIMARY KEY (run_id, ordinal)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Rows of a passed window that another session had locked, or that the residual check found.
CREATE TABLE stragglers (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id   text NOT NULL REFERENCES runs ON DELETE CASCADE,
  key      text[] NOT NULL,
  attempts int NOT NULL DEFAULT 0,
  since    timestamptz NOT NULL DEFAULT clock_timestamp(),
  retry_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stragglers_due ON stragglers (run_id, retry_at);

CREATE TABLE events (
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id text NOT NULL REFERENCES runs ON DELETE CASCADE,
  at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The actor: a token's name, or the worker.
  actor  text NOT NULL,
  kind   text NOT NULL,
  detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX events_run ON events (run_id, id);

-- The gate before a contract step. Any migration tool can call it.
CREATE FUNCTION require_succeeded(job_name text) RETURNS void LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
  last runs;
BEGIN
  SELECT * INTO last FROM runs WHERE job = job_name ORDER BY created_at DESC, id DESC LIMIT 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'backfill % has never been run', job_name
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Start it, and let it succeed before this step.';
  ELSIF last.status <> 'succeeded' THEN
    RAISE EXCEPTION 'backfill %: its last run % is %', job_name, last.id, last.status
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'This step needs every row done: wait until the run has succeeded.';
  END IF;
END
$$;
