-- family: indexes
-- label: unsafe
-- harm: ADD UNIQUE builds its index under ACCESS EXCLUSIVE: not even reading is possible.
-- rules: index-blocks-writes, scanned-under-lock
-- base: freight
-- scale: 150
-- @pending
SET lock_timeout = '2s';
ALTER TABLE container ADD CONSTRAINT container_number_key UNIQUE (number);
-- @harm blocked
SELECT seal FROM container WHERE container_id = 4;
