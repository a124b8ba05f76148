-- family: drops-and-renames
-- label: safe
-- why: No statement of an application names a foreign key.
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan RENAME CONSTRAINT loan_pupil_id_fkey TO loan_of_pupil;
