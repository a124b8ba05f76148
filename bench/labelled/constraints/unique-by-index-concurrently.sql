-- family: constraints
-- label: safe
-- why: The index is built beside the work, and the constraint takes it over.
-- base: clinic
-- scale: 400
-- transaction: no
-- @pending
CREATE UNIQUE INDEX CONCURRENTLY patient_phone_key ON patient (phone);
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ADD CONSTRAINT patient_phone_key UNIQUE USING INDEX patient_phone_key;
-- @calm
UPDATE patient SET email = 'x@mail.example' WHERE patient_id = 5;
