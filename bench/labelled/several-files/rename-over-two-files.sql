-- family: several-files
-- label: unsafe
-- harm: The first file makes a spare, the second renames what is in use.
-- rules: renamed
-- base: clinic
-- @pending
CREATE TABLE room_kind (room_kind_id int PRIMARY KEY, label text NOT NULL);
-- @pending
SET lock_timeout = '2s';
ALTER TABLE room RENAME COLUMN label TO name;
-- @harm fails 42703
SELECT label FROM room WHERE room_id = 3;
