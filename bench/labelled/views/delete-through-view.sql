-- family: views
-- label: unsafe
-- harm: The view is a window: deleting overdue loans deletes loans.
-- rules: rows-lost
-- base: library
-- @pending
DELETE FROM overdue WHERE due_on < '2025-06-01';
-- @harm differs
SELECT count(*) FROM loan;
