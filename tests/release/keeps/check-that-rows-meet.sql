ALTER TABLE purchase ADD CONSTRAINT purchase_positive CHECK (total >= 0) NOT VALID;
ALTER TABLE purchase VALIDATE CONSTRAINT purchase_positive;
