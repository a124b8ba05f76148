-- family: drops-and-renames
-- label: unsafe
-- harm: Origin and destination change places: every consignment goes the wrong way.
-- rules: renamed, content-changed
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment RENAME COLUMN origin TO was_origin;
ALTER TABLE consignment RENAME COLUMN destination TO origin;
ALTER TABLE consignment RENAME COLUMN was_origin TO destination;
-- @harm differs
SELECT origin, destination FROM consignment WHERE consignment_id = 11;
