-- The named databases that a run spans, the same list in each of them: together their rows are the run. Null where the
-- service knew but one database, without a name.
ALTER TABLE runs ADD COLUMN databases text[];
