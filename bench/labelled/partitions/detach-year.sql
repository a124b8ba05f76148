-- family: partitions
-- label: unsafe
-- harm: A year of tracking leaves the table that the application reads.
-- rules: rows-lost
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE tracking DETACH PARTITION tracking_2024;
-- @harm differs
SELECT count(*) FROM tracking;
