-- Holds, overrides, the shared pace, and what replicas are known by.

-- What keeps a run from working though it is not paused: {reason, signal, value, limit, since, by, seenAt}. The fence
-- reads it, so that a hold stops the batches of every process, whoever saw the reason.
ALTER TABLE runs ADD COLUMN hold jsonb;
-- How long holds that have ended lasted.
ALTER TABLE runs ADD COLUMN held_ms bigint NOT NULL DEFAULT 0;
-- Signals that a run need not heed until a time: [{signal, reason, by, since, until}].
ALTER TABLE runs ADD COLUMN overrides jsonb NOT NULL DEFAULT '[]';
-- Options that have come since.
UPDATE runs SET options = '{"maxLagSeconds": 5, "signals": {}, "schedule": null}' || options;

-- The part of recent_ms that pace held the range back.
ALTER TABLE ranges ADD COLUMN recent_throttled_ms double precision NOT NULL DEFAULT 0;

-- One row: how much of its workers' time evenkeel may spend in batches on this database, all processes together.
CREATE TABLE pace (
  state      jsonb NOT NULL,
  version    bigint NOT NULL DEFAULT 0,
  stepped_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);
INSERT INTO pace (state) VALUES ('null');

-- One row while everything is held: POST /pause.
CREATE TABLE standstill (
  reason text,
  actor  text NOT NULL,
  since  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX standstill_one ON standstill ((true));

-- Standbys that have been seen to stream since the first of the live runs was accepted, and how many by each name.
CREATE TABLE standbys (
  name  text PRIMARY KEY,
  count int NOT NULL
);

-- One row, counted up each second while replicas are read by their own URLs: a replica that shows an older count is behind.
CREATE TABLE heartbeat (beat bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO heartbeat VALUES (0);
