-- family: indexes
-- label: safe
-- why: Twelve rooms are indexed in a moment.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
CREATE INDEX room_floor_idx ON room (floor);
