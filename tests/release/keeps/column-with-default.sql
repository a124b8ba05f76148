ALTER TABLE customer ADD country text NOT NULL DEFAULT 'AT';
