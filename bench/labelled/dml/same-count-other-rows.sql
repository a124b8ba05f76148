-- family: dml
-- label: unsafe
-- harm: As many rows as before, but other ones: one tariff is replaced by another.
-- rules: rows-lost, content-changed
-- base: freight
-- @pending
DELETE FROM customs.tariff WHERE code = 'HS17';
INSERT INTO customs.tariff VALUES ('HS900', 3.5, NULL);
-- @harm differs
SELECT count(*) FROM customs.tariff WHERE code = 'HS17';
