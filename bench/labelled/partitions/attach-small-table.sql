-- family: partitions
-- label: safe
-- why: 120 quotes are read in a moment.
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE quote ATTACH PARTITION quote_overseas FOR VALUES IN ('overseas');
-- @calm
SELECT count(*) FROM quote_overseas;
SELECT count(*) FROM quote WHERE region = 'north';
