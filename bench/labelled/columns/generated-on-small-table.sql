-- family: columns
-- label: safe
-- why: Three branches are rewritten in a moment.
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE branch ADD COLUMN sort_key text GENERATED ALWAYS AS (lower(name)) STORED;
