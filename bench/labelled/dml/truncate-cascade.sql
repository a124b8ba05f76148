-- family: dml
-- label: unsafe
-- harm: The statement names titles; copies and loans are emptied too.
-- rules: truncated, rows-lost
-- base: library
-- @pending
TRUNCATE title CASCADE;
-- @harm differs
SELECT count(*) FROM loan;
