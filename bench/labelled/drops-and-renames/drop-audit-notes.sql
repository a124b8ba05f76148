-- family: drops-and-renames
-- label: unsafe
-- harm: A table of 150 notes without key or foreign key is gone.
-- rules: table-dropped
-- base: clinic
-- @pending
DROP TABLE audit_note CASCADE;
-- @harm fails 42P01
SELECT count(*) FROM audit_note;
