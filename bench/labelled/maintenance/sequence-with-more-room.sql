-- family: maintenance
-- label: safe
-- why: A higher limit and a bigger step ahead; the position stays.
-- base: library
-- @pending
ALTER SEQUENCE card_number MAXVALUE 900000;
-- @calm
SELECT nextval('card_number') > 0;
