-- family: constraints
-- label: unsafe
-- harm: 140,000 consignments are read while nobody can use the table.
-- rules: scanned-under-lock
-- base: freight
-- scale: 200
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ADD CONSTRAINT consignment_weighs CHECK (weight_kg > 0);
-- @harm blocked
SELECT status FROM consignment WHERE consignment_id = 7;
