-- family: several-files
-- label: unsafe
-- harm: The values move to a new column, and the old one goes in the same release.
-- rules: column-dropped
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE title ADD COLUMN written_by text;
UPDATE title SET written_by = author;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE title DROP COLUMN author;
-- @harm fails 42703
SELECT author FROM title WHERE isbn = '978-000000003';
