-- breaks: order
REVOKE shop_writers FROM shop_app;
