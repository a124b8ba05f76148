-- family: drops-and-renames
-- label: unsafe
-- harm: The table keeps its name in another schema, where the running release does not look.
-- rules: renamed
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE vessel SET SCHEMA customs;
-- @harm fails 42P01
SELECT name FROM vessel WHERE imo = 9100003;
