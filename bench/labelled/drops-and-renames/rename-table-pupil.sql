-- family: drops-and-renames
-- label: unsafe
-- harm: The running release reads pupil, and there is none any more.
-- rules: renamed
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE pupil RENAME TO student;
-- @harm fails 42P01
SELECT family_name FROM pupil WHERE card_no = 'C000004';
