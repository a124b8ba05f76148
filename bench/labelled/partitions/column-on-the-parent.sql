-- family: partitions
-- label: safe
-- why: A nullable column reaches every partition through the catalog alone.
-- base: freight
-- scale: 400
-- @pending
SET lock_timeout = '2s';
ALTER TABLE tracking ADD COLUMN source text;
-- @calm
INSERT INTO tracking VALUES (9000, '2025-12-01 00:00+00', 4, 'P0003', 'seen');
