-- Stragglers are gone through in the order of their ids.

CREATE INDEX stragglers_order ON stragglers (run_id, id);
-- No index on what is written each time a row is tried.
DROP INDEX stragglers_due;
