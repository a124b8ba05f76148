-- family: columns
-- label: unsafe
-- harm: A new identity column numbers 140,000 consignments by rewriting the table under ACCESS EXCLUSIVE.
-- rules: table-rewritten, unsafe-default
-- base: freight
-- scale: 200
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ADD COLUMN serial_no bigint GENERATED ALWAYS AS IDENTITY;
-- @harm differs
SELECT pg_relation_filenode('consignment');
-- @harm blocked
SELECT status FROM consignment WHERE reference = 'CN-10007';
