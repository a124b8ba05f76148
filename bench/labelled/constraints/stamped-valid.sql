-- family: constraints
-- label: unsafe
-- harm: The catalog says validated, and seven rows break the rule.
-- rules: constraint-violated
-- base: freight
-- role: superuser
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ADD CONSTRAINT consignment_worth CHECK (declared_value >= 100) NOT VALID;
UPDATE pg_catalog.pg_constraint SET convalidated = true WHERE conname = 'consignment_worth';
-- @harm fails 23514
UPDATE consignment SET status = 'booked' WHERE consignment_id = 3;
