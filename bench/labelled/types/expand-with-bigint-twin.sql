-- family: types
-- label: safe
-- why: Step one of a wider key: a new column beside the old one, filled; nothing old is touched.
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE container ADD COLUMN tare_grams bigint;
UPDATE container SET tare_grams = tare_kg * 1000::bigint;
-- @calm
SELECT sum(tare_kg) FROM container;
