-- family: views
-- label: safe
-- why: 700 lines are computed in a moment.
-- base: freight
-- @pending
SET lock_timeout = '2s';
REFRESH MATERIALIZED VIEW consignment_weight;
-- @calm
SELECT sum(weight_kg) FROM consignment_weight;
