-- family: partitions
-- label: unsafe
-- harm: The default partition has over 100,000 rows, and each is read while nobody can use the table.
-- rules: scanned-under-lock
-- base: freight
-- scale: 800
-- @pending
SET lock_timeout = '2s';
CREATE TABLE tracking_2027 PARTITION OF tracking FOR VALUES FROM ('2027-01-01 00:00+00') TO ('2028-01-01 00:00+00');
-- @harm blocked
SELECT count(*) FROM tracking;
