-- family: partitions
-- label: unsafe
-- harm: Old rows in the default partition are deleted.
-- rules: rows-lost
-- base: freight
-- @pending
DELETE FROM tracking_rest WHERE tracked_at < '2026-03-01 00:00+00';
-- @harm differs
SELECT count(*) FROM tracking;
