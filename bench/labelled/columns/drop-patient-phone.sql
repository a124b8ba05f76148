-- family: columns
-- label: unsafe
-- harm: The telephone numbers of all 300 patients are gone.
-- rules: column-dropped
-- base: clinic
-- @pending
ALTER TABLE patient DROP COLUMN phone;
-- @harm fails 42703
SELECT patient_id, phone FROM patient WHERE phone IS NOT NULL;
