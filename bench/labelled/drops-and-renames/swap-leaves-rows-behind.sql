-- family: drops-and-renames
-- label: unsafe
-- harm: The new table takes the old one's name, but six of 150 notes were not copied.
-- rules: rows-lost, table-dropped
-- base: clinic
-- @pending
SET lock_timeout = '2s';
CREATE TABLE audit_note_new (LIKE audit_note INCLUDING ALL);
INSERT INTO audit_note_new SELECT * FROM audit_note WHERE note_id % 25 <> 0;
DROP TABLE audit_note;
ALTER TABLE audit_note_new RENAME TO audit_note;
-- @harm differs
SELECT count(*) FROM audit_note;
