-- Stragglers are tried in the order of their ids.

CREATE INDEX stragglers_order ON stragglers (run_id, id);
-- A column that is written at each try must not be indexed.
DROP INDEX stragglers_due;
