-- family: constraints
-- label: safe
-- why: The scan happens under a lock that lets everybody work.
-- base: freight
-- scale: 500
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ADD CONSTRAINT consignment_weighs CHECK (weight_kg > 0) NOT VALID;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment VALIDATE CONSTRAINT consignment_weighs;
-- @calm
INSERT INTO consignment (reference, origin, destination, weight_kg) VALUES ('CN-1', 'P0001', 'P0002', 900);
