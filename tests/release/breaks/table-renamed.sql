-- breaks: order
ALTER TABLE purchase RENAME TO sale;
