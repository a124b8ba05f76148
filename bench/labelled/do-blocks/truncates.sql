-- family: do-blocks
-- label: unsafe
-- harm: The block empties the notes.
-- rules: truncated, rows-lost
-- base: clinic
-- @pending
DO $$ BEGIN TRUNCATE audit_note; END $$;
-- @harm differs
SELECT count(*) FROM audit_note;
