-- breaks: sign_up
ALTER TABLE customer ADD country text NOT NULL DEFAULT 'AT';
ALTER TABLE customer ALTER country DROP DEFAULT;
