-- family: columns
-- label: unsafe
-- harm: The running release books visits without a duration; without the default that fails.
-- rules: required-column
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ALTER COLUMN minutes DROP DEFAULT;
-- @harm fails 23502
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
