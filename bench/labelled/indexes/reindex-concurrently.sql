-- family: indexes
-- label: safe
-- why: The index is rebuilt beside the old one.
-- base: library
-- scale: 300
-- transaction: no
-- @pending
REINDEX INDEX CONCURRENTLY loan_pupil_idx;
