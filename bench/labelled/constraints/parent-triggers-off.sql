-- family: constraints
-- label: unsafe
-- harm: A title can be deleted while its copies stand on the shelves.
-- rules: enforcement-off
-- base: library
-- role: superuser
-- @pending
SET lock_timeout = '2s';
ALTER TABLE title DISABLE TRIGGER ALL;
-- @harm admits 23503
DELETE FROM title WHERE isbn = '978-000000003';
