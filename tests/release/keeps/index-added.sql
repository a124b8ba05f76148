CREATE INDEX customer_joined_idx ON customer (joined);
