-- family: dml
-- label: safe
-- why: Numbers are skipped; none is handed out twice.
-- base: clinic
-- @pending
SELECT setval('visit_visit_id_seq', 20000);
-- @calm
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
