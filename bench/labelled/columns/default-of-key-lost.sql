-- family: columns
-- label: unsafe
-- harm: The key no longer numbers itself: the running release's INSERT has no consignment_id.
-- rules: required-column, sequence-reset
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ALTER COLUMN consignment_id DROP DEFAULT;
