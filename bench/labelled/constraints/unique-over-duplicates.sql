-- family: constraints
-- label: unsafe
-- harm: Family names repeat, so the constraint cannot be made.
-- rules: constraint-violated, statement-failed
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE pupil ADD CONSTRAINT pupil_family_unique UNIQUE (family_name);
-- @harm stops 23505
