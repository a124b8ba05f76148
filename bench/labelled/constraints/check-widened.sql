-- family: constraints
-- label: safe
-- why: The new rule allows all that the old one allowed.
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE container
    DROP CONSTRAINT container_tare_positive,
    ADD CONSTRAINT container_tare_positive CHECK (tare_kg >= 0) NOT VALID;
ALTER TABLE container VALIDATE CONSTRAINT container_tare_positive;
-- @calm
INSERT INTO container (consignment_id, number, tare_kg) VALUES (1, 'MSCU9999999', 2100);
