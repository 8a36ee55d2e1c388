-- Indexes for queries that run every second or at each scrape: they find their few runs among all that have ended.

CREATE INDEX runs_status ON runs (status);
-- The last ended run of a job, and the next job after one.
CREATE INDEX runs_ended ON runs (job, ended_at);
-- Whether a run has been run again.
CREATE INDEX runs_again ON runs (job, params_hash, created_at);
-- Runs that ended a moment ago.
CREATE INDEX runs_ended_at ON runs (ended_at);

-- The last event of a kind, and the last sign of life. max(at) reads one entry. For max(id) the planner would read all
-- events from the end.
CREATE INDEX events_kind ON events (run_id, kind, at);
CREATE INDEX events_signs ON events (run_id, at) WHERE kind <> 'rescued';
