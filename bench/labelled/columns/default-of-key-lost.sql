-- family: columns
-- label: unsafe
-- harm: The key no longer numbers itself: the running release's INSERT has no consignment_id.
-- rules: required-column, sequence-reset
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ALTER COLUMN consignment_id DROP DEFAULT;
-- @harm fails 23502
INSERT INTO consignment (reference, origin, destination, weight_kg) VALUES ('CN-1', 'P0001', 'P0002', 900);
