-- family: columns
-- label: unsafe
-- harm: A stored generated column rewrites 180,000 loans while nobody can read or lend.
-- rules: table-rewritten, unsafe-default
-- base: library
-- scale: 150
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan ADD COLUMN days_out int GENERATED ALWAYS AS (due_on - lent_on) STORED;
-- @harm differs
SELECT pg_relation_filenode('loan');
-- @harm blocked
SELECT due_on FROM loan WHERE loan_id = 9;
