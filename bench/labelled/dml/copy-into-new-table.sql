-- family: dml
-- label: safe
-- why: A new table is filled from an old one, which stays.
-- base: library
-- @pending
CREATE TABLE author (author_id serial PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO author (name) SELECT DISTINCT author FROM title;
-- @calm
SELECT count(*), min(author) FROM title;
