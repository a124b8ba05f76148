-- family: columns
-- label: safe
-- why: A nullable column is a change of the catalog, however big the table is.
-- base: clinic
-- scale: 500
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ADD COLUMN cancelled_reason text;
-- @calm
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
SELECT count(*), sum(fee) FROM visit WHERE state = 'done';
