-- family: constraints
-- label: unsafe
-- harm: A third of the patients has no e-mail address, so the statement fails.
-- rules: constraint-violated, statement-failed
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ALTER COLUMN email SET NOT NULL;
-- @harm stops 23502
