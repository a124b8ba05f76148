-- family: indexes
-- label: safe
-- why: The index is rebuilt beside the old one.
-- base: library
-- scale: 300
-- transaction: no
-- @pending
REINDEX INDEX CONCURRENTLY loan_pupil_idx;
-- @calm
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (1, 1, '2026-06-01');
