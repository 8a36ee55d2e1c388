-- What is asked every second, or at each scrape, finds the few runs that it is about among all that have ended.

CREATE INDEX runs_status ON runs (status);
-- The last that ended of a job, and the next job behind one.
CREATE INDEX runs_ended ON runs (job, ended_at);
-- Whether a run has been run again.
CREATE INDEX runs_again ON runs (job, params_hash, created_at);
-- What ended a moment ago.
CREATE INDEX runs_ended_at ON runs (ended_at);

-- The last of a kind, and the last that is a sign of life: by max(at), which reads one entry. By max(id) the planner would go
-- through all events from the end.
CREATE INDEX events_kind ON events (run_id, kind, at);
CREATE INDEX events_signs ON events (run_id, at) WHERE kind <> 'rescued';
