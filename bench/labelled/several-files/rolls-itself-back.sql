-- family: several-files
-- label: unsafe
-- harm: The file ends in ROLLBACK: it counts as applied, and the column is not there.
-- rules: rolled-back-itself
-- base: clinic
-- transaction: no
-- @pending
BEGIN;
ALTER TABLE practitioner ADD COLUMN speciality text;
ROLLBACK;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE practitioner ADD COLUMN room_id int;
-- @harm lacks 42703
SELECT speciality FROM practitioner LIMIT 1;
