-- family: dml
-- label: unsafe
-- harm: An INSERT into housekeeping sets off a trigger that deletes old events.
-- rules: rows-lost
-- base: library
-- @pending
INSERT INTO housekeeping VALUES ('2026-01-01', '2024-12-01 00:00+00');
-- @harm differs
SELECT count(*) FROM loan_event;
