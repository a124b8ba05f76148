-- family: maintenance
-- label: safe
-- why: Three branches are indexed in a moment.
-- base: library
-- @pending
SET lock_timeout = '2s';
REINDEX TABLE branch;
-- @calm
INSERT INTO branch VALUES (9, 'Field school');
