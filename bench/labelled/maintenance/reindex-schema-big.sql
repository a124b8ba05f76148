-- family: maintenance
-- label: unsafe
-- harm: Every index of the schema is rebuilt, and declarations cannot be written meanwhile.
-- rules: index-blocks-writes
-- base: freight
-- scale: 300
-- transaction: no
-- @pending
REINDEX SCHEMA customs;
-- @harm differs
SELECT pg_relation_filenode('customs.declaration_consignment_idx');
