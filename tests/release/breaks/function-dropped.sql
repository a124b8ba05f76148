-- breaks: quote
DROP FUNCTION discount(numeric);
