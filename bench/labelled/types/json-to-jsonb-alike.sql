-- family: types
-- label: safe
-- why: No form repeats a key, and jsonb says the same.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ALTER COLUMN intake TYPE jsonb;
-- @calm
SELECT sum((intake ->> 'height_cm')::int) FROM patient;
