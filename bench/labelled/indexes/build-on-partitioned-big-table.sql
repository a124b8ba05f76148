-- family: indexes
-- label: unsafe
-- harm: Every partition is indexed in one go, and tracking stops meanwhile.
-- rules: index-blocks-writes
-- base: freight
-- scale: 400
-- @pending
SET lock_timeout = '2s';
CREATE INDEX tracking_container_idx ON tracking (container_id);
