-- Holds, overrides, the shared pace, and the known replicas.

-- Why a run does not work although it is not paused: {reason, signal, value, limit, since, by, seenAt}. The fence reads
-- it, so a hold by one process stops the batches of all.
ALTER TABLE runs ADD COLUMN hold jsonb;
-- Total duration of holds that have ended.
ALTER TABLE runs ADD COLUMN held_ms bigint NOT NULL DEFAULT 0;
-- Signals that a run may ignore until a time: [{signal, reason, by, since, until}].
ALTER TABLE runs ADD COLUMN overrides jsonb NOT NULL DEFAULT '[]';
-- New options.
UPDATE runs SET options = '{"maxLagSeconds": 5, "signals": {}, "schedule": null}' || options;

-- The part of recent_ms for which the pace held the range back.
ALTER TABLE ranges ADD COLUMN recent_throttled_ms double precision NOT NULL DEFAULT 0;

-- One row: how much of its workers' time evenkeel may spend in batches on this database, over all processes.
CREATE TABLE pace (
  state      jsonb NOT NULL,
  version    bigint NOT NULL DEFAULT 0,
  stepped_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);
INSERT INTO pace (state) VALUES ('null');

-- One row while all runs are paused: POST /pause.
CREATE TABLE standstill (
  reason text,
  actor  text NOT NULL,
  since  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX standstill_one ON standstill ((true));

-- Standbys seen streaming since the first of the live runs was accepted, and how many by each name.
CREATE TABLE standbys (
  name  text PRIMARY KEY,
  count int NOT NULL
);

-- One row, incremented each second while replicas are read by their own URLs. A replica with an older count is behind.
CREATE TABLE heartbeat (beat bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO heartbeat VALUES (0);
