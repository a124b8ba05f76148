-- family: dml
-- label: unsafe
-- harm: A SELECT calls a function that deletes half a year of tracking.
-- rules: rows-lost
-- base: freight
-- @pending
SELECT forget_tracking('2024-07-01 00:00+00');
-- @harm differs
SELECT count(*) FROM tracking;
