-- family: views
-- label: safe
-- why: Readers go on reading the old lines until the new ones are there.
-- base: freight
-- scale: 300
-- transaction: no
-- @pending
REFRESH MATERIALIZED VIEW CONCURRENTLY consignment_weight;
-- @calm
SELECT sum(weight_kg) FROM consignment_weight;
