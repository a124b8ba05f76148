-- family: types
-- label: safe
-- why: Twelve rooms are rewritten in a moment, and every value stays.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE room ALTER COLUMN floor TYPE bigint;
-- @calm
SELECT sum(floor) FROM room;
