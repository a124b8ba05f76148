CREATE TABLE region (id int PRIMARY KEY);
ALTER TABLE customer ADD region_id int REFERENCES region;
