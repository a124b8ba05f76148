-- family: partitions
-- label: unsafe
-- harm: The partition of 2024 is dropped with its rows.
-- rules: table-dropped, rows-lost
-- base: freight
-- @pending
SET lock_timeout = '2s';
DROP TABLE tracking_2024;
-- @harm differs
SELECT count(*) FROM tracking;
