-- breaks: sign_up
REVOKE INSERT ON customer FROM shop_app;
