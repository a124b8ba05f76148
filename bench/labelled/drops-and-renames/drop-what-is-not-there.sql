-- family: drops-and-renames
-- label: safe
-- why: Nothing of this name exists.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
DROP TABLE IF EXISTS visit_backup;
DROP INDEX IF EXISTS visit_backup_idx;
ALTER TABLE patient DROP COLUMN IF EXISTS fax;
-- @calm
SELECT count(*) FROM patient;
