-- family: maintenance
-- label: unsafe
-- harm: 150,000 containers are rewritten under ACCESS EXCLUSIVE.
-- rules: table-rewritten
-- base: freight
-- scale: 150
-- transaction: no
-- @pending
VACUUM FULL container;
-- @harm differs
SELECT pg_relation_filenode('container');
