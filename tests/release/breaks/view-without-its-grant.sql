-- breaks: report
DROP VIEW rich;
CREATE VIEW rich AS SELECT id, email, credit FROM customer WHERE credit > 100;
