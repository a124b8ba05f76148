-- breaks: sign_up
ALTER TABLE customer ADD country text;
UPDATE customer SET country = 'AT';
ALTER TABLE customer ADD CONSTRAINT customer_country CHECK (country IS NOT NULL);
