-- family: dml
-- label: safe
-- why: What is written is what was there.
-- base: freight
-- @pending
UPDATE customs.tariff SET note = NULL WHERE note IS NULL;
UPDATE port SET country = upper(country);
-- @calm
SELECT count(*), min(country) FROM port;
