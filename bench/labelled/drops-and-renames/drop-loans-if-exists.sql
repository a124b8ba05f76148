-- family: drops-and-renames
-- label: unsafe
-- harm: 1,200 loans are gone, and the view of what is overdue.
-- rules: table-dropped
-- base: library
-- @pending
SET lock_timeout = '2s';
DROP TABLE IF EXISTS loan CASCADE;
-- @harm fails 42P01
SELECT due_on FROM loan WHERE loan_id = 9;
-- @harm fails 42P01
SELECT count(*) FROM overdue;
