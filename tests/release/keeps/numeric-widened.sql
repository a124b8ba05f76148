DROP MATERIALIZED VIEW turnover;
ALTER TABLE purchase ALTER total TYPE numeric(12, 2);
CREATE MATERIALIZED VIEW turnover AS SELECT customer_id, sum(total) AS total FROM purchase GROUP BY customer_id;
GRANT SELECT ON turnover TO shop_report;
