-- breaks: order
CREATE SCHEMA sales;
GRANT USAGE ON SCHEMA sales TO shop_app;
ALTER TABLE purchase SET SCHEMA sales;
