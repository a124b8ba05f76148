-- family: types
-- label: safe
-- why: A longer limit is a change of the catalog.
-- base: clinic
-- scale: 400
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ALTER COLUMN phone TYPE varchar(60);
-- @calm
SELECT pg_relation_filenode('patient'), max(phone) FROM patient;
