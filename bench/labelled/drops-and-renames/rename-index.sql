-- family: drops-and-renames
-- label: safe
-- why: No statement names an index.
-- base: clinic
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER INDEX visit_starts_at_idx RENAME TO visit_by_start;
-- @calm open
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
