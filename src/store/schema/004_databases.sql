-- The named databases that a run spans, the same list in each of them: together their rows are the run. Null if the
-- service had a single database without a name.
ALTER TABLE runs ADD COLUMN databases text[];
