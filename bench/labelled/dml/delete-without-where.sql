-- family: dml
-- label: unsafe
-- harm: All events of loans are deleted.
-- rules: rows-lost
-- base: library
-- @pending
DELETE FROM loan_event;
-- @harm differs
SELECT count(*) FROM loan_event;
