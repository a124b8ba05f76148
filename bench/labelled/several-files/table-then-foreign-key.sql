-- family: several-files
-- label: safe
-- why: A new table, its rows, and a foreign key between new things.
-- base: library
-- @pending
CREATE TABLE publisher (publisher_id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO publisher (name) VALUES ('North Press'), ('Harbour Books');
-- @pending
SET lock_timeout = '2s';
ALTER TABLE title ADD COLUMN publisher_id int REFERENCES publisher;
-- @calm
INSERT INTO title (isbn, name, author) VALUES ('979-1', 'New title', 'New author');
