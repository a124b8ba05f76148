-- family: constraints
-- label: safe
-- why: NULL is allowed as before, every tare fits, and VALIDATE lets everybody work.
-- base: freight
-- scale: 400
-- @pending
SET lock_timeout = '2s';
ALTER TABLE container ADD CONSTRAINT container_tare_light CHECK (tare_kg < 40000) NOT VALID;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE container VALIDATE CONSTRAINT container_tare_light;
-- @calm open
UPDATE container SET seal = 'S1' WHERE container_id = 3;
