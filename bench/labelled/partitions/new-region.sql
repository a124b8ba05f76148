-- family: partitions
-- label: safe
-- why: A new partition for rows that nobody could write before.
-- base: freight
-- @pending
SET lock_timeout = '2s';
CREATE TABLE quote_west PARTITION OF quote FOR VALUES IN ('west');
-- @calm
INSERT INTO quote VALUES (5000, 'north', 12.5, NULL);
