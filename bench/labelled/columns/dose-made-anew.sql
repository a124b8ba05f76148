-- family: columns
-- label: unsafe
-- harm: The column comes back under its name and type, but every dose is 0.
-- rules: column-dropped, content-changed
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE prescription DROP COLUMN dose_mg;
ALTER TABLE prescription ADD COLUMN dose_mg real NOT NULL DEFAULT 0;
-- @harm differs
SELECT count(*), sum(dose_mg) FROM prescription;
