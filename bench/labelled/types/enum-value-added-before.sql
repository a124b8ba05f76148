-- family: types
-- label: safe
-- why: A value in the middle of the order; no row is written.
-- base: clinic
-- @pending
ALTER TYPE visit_state ADD VALUE IF NOT EXISTS 'confirmed' BEFORE 'arrived';
-- @calm
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
