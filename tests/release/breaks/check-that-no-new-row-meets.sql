-- breaks: order
ALTER TABLE purchase ADD CONSTRAINT purchase_closed CHECK (total < 0) NOT VALID;
