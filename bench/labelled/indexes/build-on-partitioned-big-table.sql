-- family: indexes
-- label: unsafe
-- harm: Every partition is indexed in one go, and tracking stops meanwhile.
-- rules: index-blocks-writes
-- base: freight
-- scale: 400
-- @pending
SET lock_timeout = '2s';
CREATE INDEX tracking_container_idx ON tracking (container_id);
-- @harm blocked
INSERT INTO tracking VALUES (9000, '2025-12-01 00:00+00', 4, 'P0003', 'seen');
