-- family: views
-- label: unsafe
-- harm: The running release reads consignment_weight, which has another name now.
-- rules: renamed
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER MATERIALIZED VIEW consignment_weight RENAME TO consignment_mass;
-- @harm fails 42P01
SELECT weight_kg FROM consignment_weight WHERE consignment_id = 3;
