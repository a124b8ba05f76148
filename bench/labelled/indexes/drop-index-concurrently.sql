-- family: indexes
-- label: safe
-- why: An index that is not needed goes without keeping anybody out.
-- base: clinic
-- scale: 300
-- transaction: no
-- @pending
DROP INDEX CONCURRENTLY visit_starts_at_idx;
-- @calm
SELECT count(*) FROM visit WHERE starts_at > '2025-02-01 00:00+00';
