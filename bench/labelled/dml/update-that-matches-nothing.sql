-- family: dml
-- label: safe
-- why: No row has this state of things.
-- base: clinic
-- @pending
UPDATE visit SET remark = 'checked' WHERE fee < 0;
DELETE FROM prescription WHERE dose_mg < 0;
-- @calm
SELECT count(*), count(remark) FROM visit;
