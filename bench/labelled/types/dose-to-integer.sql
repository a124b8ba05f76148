-- family: types
-- label: unsafe
-- harm: Half milligrams are rounded away in 600 prescriptions.
-- rules: content-changed
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE prescription ALTER COLUMN dose_mg TYPE int USING dose_mg::int;
-- @harm differs
SELECT dose_mg::text FROM prescription WHERE prescription_id = 5;
