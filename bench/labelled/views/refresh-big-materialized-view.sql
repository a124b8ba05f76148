-- family: views
-- label: unsafe
-- harm: 140,000 lines are computed anew while nobody can read the view.
-- rules: table-rewritten, reads-blocked
-- base: freight
-- scale: 200
-- @pending
SET lock_timeout = '2s';
REFRESH MATERIALIZED VIEW consignment_weight;
-- @harm blocked
SELECT weight_kg FROM consignment_weight WHERE consignment_id = 3;
