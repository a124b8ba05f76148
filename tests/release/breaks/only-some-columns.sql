-- breaks: look_up
REVOKE SELECT ON customer FROM shop_app;
GRANT SELECT (id, email) ON customer TO shop_app;
