-- breaks: order
ALTER TABLE purchase ALTER id DROP IDENTITY;
