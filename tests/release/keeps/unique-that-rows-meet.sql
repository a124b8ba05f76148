CREATE UNIQUE INDEX customer_email_lower ON customer (lower(email));
