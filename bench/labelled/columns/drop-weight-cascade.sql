-- family: columns
-- label: unsafe
-- harm: The weight of every consignment is gone, and two views with it.
-- rules: column-dropped
-- base: freight
-- @pending
ALTER TABLE consignment DROP COLUMN weight_kg CASCADE;
