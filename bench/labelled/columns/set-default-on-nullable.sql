-- family: columns
-- label: safe
-- why: Rows that are there stay as they are; only new ones get the default.
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE copy ALTER COLUMN shelf SET DEFAULT 'returns trolley';
-- @calm
SELECT count(*), count(shelf) FROM copy;
