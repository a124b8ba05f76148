-- family: constraints
-- label: safe
-- why: A DELETE of a patient would take visits along from now on: worth a warning, and nothing is lost by the migration.
-- told: cascade-added
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ADD CONSTRAINT visit_patient_gone FOREIGN KEY (patient_id) REFERENCES patient ON DELETE CASCADE NOT VALID;
ALTER TABLE visit VALIDATE CONSTRAINT visit_patient_gone;
ALTER TABLE visit DROP CONSTRAINT visit_patient_id_fkey;
