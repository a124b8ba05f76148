-- family: columns
-- label: unsafe
-- harm: The weight of every consignment is gone, and two views with it.
-- rules: column-dropped
-- base: freight
-- @pending
ALTER TABLE consignment DROP COLUMN weight_kg CASCADE;
-- @harm fails 42703
SELECT sum(weight_kg) FROM consignment;
-- @harm fails 42P01
SELECT vessel, weight_kg FROM vessel_manifest LIMIT 1;
