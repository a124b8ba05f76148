-- family: maintenance
-- label: unsafe
-- harm: The lock of a quick change is held for three seconds.
-- rules: reads-blocked, writes-blocked
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE pupil ADD COLUMN locker int;
SELECT pg_sleep(3);
-- @harm blocked
SELECT family_name FROM pupil WHERE pupil_id = 7;
