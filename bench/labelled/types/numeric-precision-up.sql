-- family: types
-- label: safe
-- why: More digits before the point need no rewrite.
-- base: freight
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ALTER COLUMN declared_value TYPE numeric(16, 2);
-- @calm
SELECT pg_relation_filenode('consignment'), sum(declared_value) FROM consignment;
