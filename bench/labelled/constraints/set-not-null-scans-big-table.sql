-- family: constraints
-- label: unsafe
-- harm: 120,000 patients are read while nobody can open a file.
-- rules: scanned-under-lock
-- base: clinic
-- scale: 400
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ALTER COLUMN born SET NOT NULL;
