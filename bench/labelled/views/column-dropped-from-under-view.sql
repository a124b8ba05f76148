-- family: views
-- label: unsafe
-- harm: The view is made again without the weight, and the table loses it.
-- rules: column-dropped
-- base: freight
-- @pending
SET lock_timeout = '2s';
DROP MATERIALIZED VIEW consignment_weight;
DROP VIEW vessel_manifest;
ALTER TABLE consignment DROP COLUMN weight_kg;
CREATE VIEW vessel_manifest AS SELECT v.name AS vessel, c.reference FROM vessel v JOIN consignment c USING (vessel_id);
-- @harm fails 42703
SELECT sum(weight_kg) FROM consignment;
