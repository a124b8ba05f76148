-- family: columns
-- label: safe
-- why: A constant default is kept in the catalog; no row is written.
-- base: freight
-- scale: 500
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ADD COLUMN insured boolean NOT NULL DEFAULT false;
-- @calm
INSERT INTO consignment (reference, origin, destination, weight_kg) VALUES ('CN-1', 'P0001', 'P0002', 900);
SELECT pg_relation_filenode('consignment');
