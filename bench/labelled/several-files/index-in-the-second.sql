-- family: several-files
-- label: unsafe
-- harm: The first file is quick; the second keeps writers of 180,000 loans out.
-- rules: index-blocks-writes
-- base: library
-- scale: 150
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan ADD COLUMN lent_by text;
-- @pending
SET lock_timeout = '2s';
CREATE INDEX loan_due_idx ON loan (due_on);
-- @harm blocked
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (1, 1, '2026-06-01');
