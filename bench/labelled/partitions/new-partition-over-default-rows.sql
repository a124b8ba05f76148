-- family: partitions
-- label: unsafe
-- harm: The default partition holds rows of 2026, so the partition cannot be made.
-- rules: statement-failed, constraint-violated
-- base: freight
-- @pending
SET lock_timeout = '2s';
CREATE TABLE tracking_2026 PARTITION OF tracking FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');
-- @harm stops 23514
