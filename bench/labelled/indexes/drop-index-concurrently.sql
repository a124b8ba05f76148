-- family: indexes
-- label: safe
-- why: An index that is not needed goes without keeping anybody out.
-- base: clinic
-- scale: 300
-- transaction: no
-- @pending
DROP INDEX CONCURRENTLY visit_starts_at_idx;
