-- family: indexes
-- label: safe
-- why: The wider index is there before the narrow one goes.
-- base: freight
-- scale: 200
-- transaction: no
-- @pending
CREATE INDEX CONCURRENTLY consignment_vessel_status_idx ON consignment (vessel_id, status);
DROP INDEX CONCURRENTLY consignment_vessel_idx;
