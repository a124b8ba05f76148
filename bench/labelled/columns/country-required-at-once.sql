-- family: columns
-- label: unsafe
-- harm: The running release registers patients without a country, and every INSERT of it fails.
-- rules: required-column
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ADD COLUMN country char(2);
UPDATE patient SET country = 'SE';
ALTER TABLE patient ALTER COLUMN country SET NOT NULL;
-- @harm fails 23502
INSERT INTO patient (full_name, phone) VALUES ('New Patient', '+46 70 1');
