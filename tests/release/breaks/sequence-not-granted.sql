-- breaks: sign_up
REVOKE USAGE ON SEQUENCE customer_id_seq FROM shop_app;
