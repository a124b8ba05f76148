-- family: drops-and-renames
-- label: unsafe
-- harm: The tariffs are dropped and made anew without a row.
-- rules: table-dropped, rows-lost
-- base: freight
-- @pending
SET lock_timeout = '2s';
DROP TABLE customs.tariff;
CREATE TABLE customs.tariff (code text PRIMARY KEY, duty_percent numeric(5, 2) NOT NULL, note text, chapter int);
-- @harm differs
SELECT count(*) FROM customs.tariff;
