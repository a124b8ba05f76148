-- family: indexes
-- label: safe
-- why: Others read and write while the index is built.
-- base: clinic
-- scale: 500
-- transaction: no
-- @pending
CREATE INDEX CONCURRENTLY visit_state_idx ON visit (state);
-- @calm
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
