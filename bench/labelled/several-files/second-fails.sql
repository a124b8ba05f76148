-- family: several-files
-- label: unsafe
-- harm: The first file is applied, and the second names a table that is not there.
-- rules: statement-failed
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ADD COLUMN country text;
-- @pending
UPDATE pateint SET country = 'SE';
-- @harm stops 42P01
