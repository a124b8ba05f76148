-- family: drops-and-renames
-- label: unsafe
-- harm: The running release marks visits as missed, a value that no longer exists.
-- rules: renamed
-- base: clinic
-- @pending
ALTER TYPE visit_state RENAME VALUE 'missed' TO 'no_show';
-- @harm fails 22P02
UPDATE visit SET state = 'missed' WHERE visit_id = 4;
