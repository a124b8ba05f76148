-- family: partitions
-- label: safe
-- why: The partition comes back in the same transaction with every row.
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE quote DETACH PARTITION quote_south;
ALTER TABLE quote ATTACH PARTITION quote_south FOR VALUES IN ('south');
-- @calm
SELECT count(*), sum(amount) FROM quote;
