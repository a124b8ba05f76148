CREATE OR REPLACE VIEW rich AS SELECT id, email, credit, joined FROM customer WHERE credit > 100;
