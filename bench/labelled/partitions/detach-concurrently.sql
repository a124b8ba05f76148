-- family: partitions
-- label: unsafe
-- harm: Nobody waits, and the quotes of the south are no longer among the quotes.
-- rules: rows-lost
-- base: freight
-- transaction: no
-- @pending
ALTER TABLE quote DETACH PARTITION quote_south CONCURRENTLY;
-- @harm differs
SELECT count(*) FROM quote;
