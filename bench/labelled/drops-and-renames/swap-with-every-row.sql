-- family: drops-and-renames
-- label: safe
-- why: The new table holds every row and value of the old one, under its name.
-- base: freight
-- @pending
SET lock_timeout = '2s';
LOCK TABLE customs.tariff IN ACCESS EXCLUSIVE MODE;
CREATE TABLE customs.tariff_new (code text, note text, duty_percent numeric(5, 2) NOT NULL);
INSERT INTO customs.tariff_new (code, note, duty_percent) SELECT code, note, duty_percent FROM customs.tariff;
DROP TABLE customs.tariff;
ALTER TABLE customs.tariff_new RENAME TO tariff;
ALTER TABLE customs.tariff ADD CONSTRAINT tariff_pkey PRIMARY KEY (code);
-- @calm
SELECT count(*), sum(duty_percent), min(code) FROM customs.tariff;
INSERT INTO customs.tariff (code, duty_percent) VALUES ('HS999', 4);
