-- family: drops-and-renames
-- label: safe
-- why: A temporary table belongs to the migration's own session.
-- base: clinic
-- @pending
CREATE TEMPORARY TABLE seen AS SELECT visit_id FROM visit WHERE state = 'done';
DROP TABLE seen;
