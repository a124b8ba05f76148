-- family: constraints
-- label: safe
-- why: The first step of the safe way; no row breaks the rule.
-- base: clinic
-- scale: 400
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ADD CONSTRAINT patient_named CHECK (full_name <> '') NOT VALID;
-- @calm
UPDATE patient SET phone = '1' WHERE patient_id = 5;
