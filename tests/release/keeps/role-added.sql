CREATE ROLE shop_guest;
GRANT SELECT ON customer TO shop_guest;
