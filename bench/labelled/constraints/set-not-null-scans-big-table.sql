-- family: constraints
-- label: unsafe
-- harm: 120,000 patients are read while nobody can open a file.
-- rules: scanned-under-lock
-- base: clinic
-- scale: 400
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ALTER COLUMN born SET NOT NULL;
-- @harm blocked
SELECT full_name FROM patient WHERE patient_id = 12;
