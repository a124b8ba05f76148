DROP FUNCTION discount(numeric);
CREATE FUNCTION discount(amount numeric, part int DEFAULT 10) RETURNS numeric LANGUAGE sql AS 'SELECT amount / part';
GRANT EXECUTE ON FUNCTION discount TO shop_app;
