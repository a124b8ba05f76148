-- breaks: sign_up
UPDATE customer SET note = '' WHERE note IS NULL;
ALTER TABLE customer ALTER note SET NOT NULL;
