-- family: types
-- label: unsafe
-- harm: A tariff of 4.5 percent becomes 5.
-- rules: content-changed
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE customs.tariff ALTER COLUMN duty_percent TYPE numeric(5, 0);
-- @harm differs
SELECT sum(duty_percent)::numeric(8, 2) FROM customs.tariff;
