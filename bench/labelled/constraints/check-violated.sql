-- family: constraints
-- label: unsafe
-- harm: Consignments with a declared value under 100 are there, so the statement fails.
-- rules: constraint-violated, statement-failed
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ADD CONSTRAINT consignment_value CHECK (declared_value >= 100);
-- @harm stops 23514
