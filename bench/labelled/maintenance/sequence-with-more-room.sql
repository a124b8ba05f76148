-- family: maintenance
-- label: safe
-- why: The limit rises from 9,999; the position stays.
-- base: library
-- @pending
ALTER SEQUENCE card_number MAXVALUE 900000;
-- @calm
SELECT nextval('card_number') > 0;
