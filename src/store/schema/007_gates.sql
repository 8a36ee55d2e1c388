-- Primary keys everywhere, the order of runs by number, pauses by reason, and the gate.

-- Under a publication FOR ALL TABLES, Postgres refuses to update or delete rows of a table without a primary key.
ALTER TABLE instance ADD COLUMN one boolean DEFAULT true PRIMARY KEY CHECK (one);
ALTER TABLE pace ADD COLUMN one boolean DEFAULT true PRIMARY KEY CHECK (one);
ALTER TABLE heartbeat ADD COLUMN one boolean DEFAULT true PRIMARY KEY CHECK (one);
DROP INDEX standstill_one;
ALTER TABLE standstill ADD COLUMN one boolean DEFAULT true PRIMARY KEY CHECK (one);

-- The order of runs: by the number in the id, which only grows. A clock can go back.
ALTER TABLE runs ADD COLUMN number bigint;
UPDATE runs SET number = coalesce(substring(id FROM '[0-9]{1,18}$')::bigint, 0);
ALTER TABLE runs ALTER COLUMN number SET NOT NULL, ALTER COLUMN number SET DEFAULT nextval('run_number');
DROP INDEX runs_created_at;
CREATE INDEX runs_order ON runs (number DESC, id DESC);
CREATE INDEX runs_of_job ON runs (job, number);
DROP INDEX runs_again;
CREATE INDEX runs_again ON runs (job, params_hash, number);

-- The delay that wake_at was written with. A wake_at further ahead dates from before the clock went back.
ALTER TABLE ranges ADD COLUMN wait_seconds double precision NOT NULL DEFAULT 0;

-- Why a run is paused. It stays paused while any row is left. `run`: an operator paused this run.
-- `everything`: POST /pause. `job`: a worker found that its job is missing or has changed.
CREATE TABLE pauses (
  run_id text NOT NULL REFERENCES runs ON DELETE CASCADE,
  kind   text NOT NULL CHECK (kind IN ('run', 'everything', 'job')),
  actor  text NOT NULL,
  reason text,
  since  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run_id, kind)
);
INSERT INTO pauses (run_id, kind, actor, reason, since)
SELECT r.id, CASE WHEN s.actor = e.actor AND s.since <= e.at THEN 'everything' ELSE 'run' END,
  coalesce(e.actor, r.created_by), r.reason, coalesce(e.at, clock_timestamp())
FROM runs r
  LEFT JOIN LATERAL (SELECT actor, at FROM events WHERE run_id = r.id AND kind = 'pause' ORDER BY id DESC LIMIT 1) AS e ON true
  LEFT JOIN standstill s ON true
WHERE r.status IN ('pausing', 'paused');

-- The gate. It runs with the rights of its owner, so that the role of a migration needs none on the tables. Every name
-- in it is therefore qualified.
DO $migration$
BEGIN
  EXECUTE format($sql$
    CREATE FUNCTION %1$I.refuse_unfinished(job_name text, hash text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $body$
    DECLARE
      last record;
    BEGIN
      SELECT r.id, r.status, r.params INTO last FROM (
          SELECT DISTINCT ON (params_hash) id, status, params, number FROM %1$I.runs
          WHERE job = job_name AND (hash IS NULL OR params_hash = hash) ORDER BY params_hash, number DESC, id DESC
        ) AS r
        WHERE r.status <> 'succeeded' ORDER BY r.number DESC LIMIT 1;
      IF FOUND THEN
        RAISE EXCEPTION 'backfill %%: its last run %% is %% (parameters %%)', job_name, last.id, last.status, last.params
          USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'This step needs every row done. Wait until the run has succeeded, or start it again and let it succeed.';
      END IF;
    END
    $body$
  $sql$, current_schema());
  EXECUTE format($sql$
    CREATE OR REPLACE FUNCTION %1$I.require_succeeded(job_name text) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    BEGIN
      IF NOT EXISTS (SELECT FROM %1$I.runs WHERE job = job_name) THEN
        RAISE EXCEPTION 'backfill %% has never been run', job_name
          USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Start it, and let it succeed before this step.';
      END IF;
      PERFORM %1$I.refuse_unfinished(job_name, NULL);
    END
    $body$
  $sql$, current_schema());
  EXECUTE format($sql$
    CREATE FUNCTION %1$I.require_succeeded(job_name text, run_params jsonb) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    DECLARE
      hash text;
    BEGIN
      SELECT params_hash INTO hash FROM %1$I.runs WHERE job = job_name AND params = run_params ORDER BY number DESC, id DESC LIMIT 1;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'backfill %% has never been run with parameters %%', job_name, run_params
          USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Write them as POST /runs was given them. Start that run, and let it succeed before this step.';
      END IF;
      PERFORM %1$I.refuse_unfinished(job_name, hash);
    END
    $body$
  $sql$, current_schema());
END
$migration$;
REVOKE ALL ON FUNCTION require_succeeded(text), require_succeeded(text, jsonb), refuse_unfinished(text, text) FROM PUBLIC;
