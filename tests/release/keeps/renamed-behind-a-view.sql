ALTER TABLE purchase RENAME TO sale;
CREATE VIEW purchase AS SELECT * FROM sale;
GRANT SELECT, INSERT, UPDATE, DELETE ON purchase TO shop_writers;
