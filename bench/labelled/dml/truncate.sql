-- family: dml
-- label: unsafe
-- harm: The tariffs are emptied.
-- rules: truncated, rows-lost
-- base: freight
-- @pending
TRUNCATE customs.tariff;
-- @harm differs
SELECT count(*) FROM customs.tariff;
