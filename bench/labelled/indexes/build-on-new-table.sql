-- family: indexes
-- label: safe
-- why: The table is new, so nobody waits for it.
-- base: library
-- @pending
CREATE TABLE reservation (reservation_id serial PRIMARY KEY, isbn text NOT NULL, wished_on date NOT NULL);
CREATE INDEX reservation_isbn_idx ON reservation (isbn);
