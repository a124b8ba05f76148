-- family: several-files
-- label: unsafe
-- harm: The first file deletes events and is kept, although the second fails.
-- rules: rows-lost
-- base: library
-- @pending
DELETE FROM loan_event WHERE kind = 'reminded';
-- @pending
ALTER TABLE loan_event ADD COLUMN kind text;
-- @harm stops 42701
SELECT count(*) FROM loan_event;
