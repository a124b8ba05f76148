-- family: maintenance
-- label: safe
-- why: ANALYZE reads a sample and keeps nobody out.
-- base: clinic
-- scale: 500
-- @pending
ANALYZE visit;
ANALYZE patient (born, email);
-- @calm open
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
