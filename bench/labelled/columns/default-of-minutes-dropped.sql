-- family: columns
-- label: unsafe
-- harm: The running release books visits without a duration; without the default that fails.
-- rules: required-column
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ALTER COLUMN minutes DROP DEFAULT;
