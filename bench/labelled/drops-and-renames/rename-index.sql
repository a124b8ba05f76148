-- family: drops-and-renames
-- label: safe
-- why: No statement names an index.
-- base: clinic
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER INDEX visit_starts_at_idx RENAME TO visit_by_start;
