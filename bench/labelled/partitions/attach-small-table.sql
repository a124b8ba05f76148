-- family: partitions
-- label: safe
-- why: 120 quotes are read in a moment.
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE quote ATTACH PARTITION quote_overseas FOR VALUES IN ('overseas');
