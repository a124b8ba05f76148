-- family: types
-- label: unsafe
-- harm: Bookings are read as Kuala Lumpur time: each is eight hours off.
-- rules: content-changed
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ALTER COLUMN booked_at TYPE timestamptz USING booked_at AT TIME ZONE 'Asia/Kuala_Lumpur';
-- @harm differs
SET timezone = 'UTC';
SELECT booked_at::timestamp FROM consignment WHERE consignment_id = 5;
