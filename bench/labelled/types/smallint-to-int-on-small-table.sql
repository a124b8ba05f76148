-- family: types
-- label: safe
-- why: 200 titles are rewritten in a moment, and every year stays.
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE title ALTER COLUMN published TYPE int;
-- @calm
SELECT sum(published) FROM title;
