-- family: types
-- label: unsafe
-- harm: One patient's form names two allergies under one key; jsonb keeps the last.
-- rules: content-changed
-- base: clinic
-- @seed
UPDATE patient SET intake = '{"allergy": "penicillin", "allergy": "nuts"}' WHERE patient_id = 8;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ALTER COLUMN intake TYPE jsonb;
-- @harm differs
SELECT intake::text LIKE '%penicillin%' FROM patient WHERE patient_id = 8;
