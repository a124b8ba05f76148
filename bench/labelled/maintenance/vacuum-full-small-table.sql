-- family: maintenance
-- label: safe
-- why: Twelve rooms are rewritten in a moment.
-- base: clinic
-- transaction: no
-- @pending
VACUUM FULL room;
-- @calm
SELECT count(*) FROM room;
