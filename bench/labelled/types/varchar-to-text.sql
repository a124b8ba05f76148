-- family: types
-- label: safe
-- why: varchar and text are stored alike.
-- base: freight
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER TABLE container ALTER COLUMN number TYPE text;
-- @calm
SELECT pg_relation_filenode('container'), max(number) FROM container;
