-- family: partitions
-- label: safe
-- why: The default partition is read in a moment and keeps its rows.
-- base: freight
-- @pending
SET lock_timeout = '2s';
CREATE TABLE tracking_2027 PARTITION OF tracking FOR VALUES FROM ('2027-01-01 00:00+00') TO ('2028-01-01 00:00+00');
-- @calm
INSERT INTO tracking VALUES (9000, '2025-12-01 00:00+00', 4, 'P0003', 'seen');
