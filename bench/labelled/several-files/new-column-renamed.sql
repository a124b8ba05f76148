-- family: several-files
-- label: safe
-- why: The name that changes was made by the same run.
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE branch ADD COLUMN adress text;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE branch RENAME COLUMN adress TO address;
-- @calm
SELECT name FROM branch WHERE branch_id = 1;
