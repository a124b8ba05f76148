-- family: types
-- label: unsafe
-- harm: 180,000 loans are rewritten while nobody can read them.
-- rules: table-rewritten
-- base: library
-- scale: 150
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan ALTER COLUMN fine_cents TYPE bigint;
-- @harm blocked
SELECT due_on FROM loan WHERE loan_id = 9;
-- @harm differs
SELECT pg_relation_filenode('loan');
