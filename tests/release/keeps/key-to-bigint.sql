DROP VIEW rich;
ALTER TABLE customer ALTER id TYPE bigint;
CREATE VIEW rich AS SELECT id, email, credit FROM customer WHERE credit > 100;
GRANT SELECT ON rich TO shop_report;
