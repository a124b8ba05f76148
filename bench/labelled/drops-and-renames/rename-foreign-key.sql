-- family: drops-and-renames
-- label: safe
-- why: No statement of an application names a foreign key.
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan RENAME CONSTRAINT loan_pupil_id_fkey TO loan_of_pupil;
-- @calm
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (1, 1, '2026-06-01');
