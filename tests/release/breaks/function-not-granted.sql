-- breaks: quote
REVOKE EXECUTE ON FUNCTION discount(numeric) FROM shop_app;
