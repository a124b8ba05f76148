-- breaks: look_up
ALTER TABLE purchase DROP CONSTRAINT purchase_customer_id_fkey;
DROP VIEW rich;
DROP MATERIALIZED VIEW turnover;
ALTER TABLE customer ALTER id DROP DEFAULT, ALTER id TYPE text;
ALTER TABLE purchase ALTER customer_id TYPE text;
ALTER TABLE purchase ADD FOREIGN KEY (customer_id) REFERENCES customer;
CREATE VIEW rich AS SELECT id, email, credit FROM customer WHERE credit > 100;
CREATE MATERIALIZED VIEW turnover AS SELECT customer_id, sum(total) AS total FROM purchase GROUP BY customer_id;
GRANT SELECT ON rich, turnover TO shop_report;
