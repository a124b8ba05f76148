-- family: dml
-- label: unsafe
-- harm: The next visit gets a number that is taken.
-- rules: sequence-reset
-- base: clinic
-- @pending
SELECT setval('visit_visit_id_seq', 1, false);
-- @harm fails 23505
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
