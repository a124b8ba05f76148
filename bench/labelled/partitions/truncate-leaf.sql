-- family: partitions
-- label: unsafe
-- harm: The leaf is emptied; the table has fewer rows.
-- rules: truncated, rows-lost
-- base: freight
-- @pending
SET lock_timeout = '2s';
TRUNCATE tracking_2025;
-- @harm differs
SELECT count(*) FROM tracking;
