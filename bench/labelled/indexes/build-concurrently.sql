-- family: indexes
-- label: safe
-- why: Others read and write while the index is built.
-- base: clinic
-- scale: 500
-- transaction: no
-- @pending
CREATE INDEX CONCURRENTLY visit_state_idx ON visit (state);
