-- family: partitions
-- label: unsafe
-- harm: 120,000 quotes are read under ACCESS EXCLUSIVE to prove that they fit.
-- rules: scanned-under-lock
-- base: freight
-- scale: 1000
-- @pending
SET lock_timeout = '2s';
ALTER TABLE quote ATTACH PARTITION quote_overseas FOR VALUES IN ('overseas');
-- @harm blocked
SELECT count(*) FROM quote_overseas;
