-- family: dml
-- label: safe
-- why: The column is new in this run.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE prescription ADD COLUMN dose_text text;
UPDATE prescription SET dose_text = dose_mg || ' mg';
-- @calm
SELECT count(*), sum(dose_mg) FROM prescription;
