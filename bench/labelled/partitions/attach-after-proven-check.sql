-- family: partitions
-- label: safe
-- why: A validated check spares the attachment its scan.
-- base: freight
-- scale: 1000
-- @pending
SET lock_timeout = '2s';
ALTER TABLE quote_overseas ADD CONSTRAINT quote_overseas_region
    CHECK (region IS NOT NULL AND region = 'overseas') NOT VALID;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE quote_overseas VALIDATE CONSTRAINT quote_overseas_region;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE quote ATTACH PARTITION quote_overseas FOR VALUES IN ('overseas');
-- @calm
SELECT count(*) FROM quote_overseas;
