-- family: columns
-- label: safe
-- why: A nullable column is a change of the catalog, however big the table is.
-- base: clinic
-- scale: 500
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ADD COLUMN cancelled_reason text;
