-- family: dml
-- label: safe
-- why: A new table takes subjects over; the array stays.
-- base: library
-- @pending
CREATE TABLE title_subject (isbn text NOT NULL REFERENCES title, subject text NOT NULL, PRIMARY KEY (isbn, subject));
INSERT INTO title_subject SELECT isbn, unnest(subjects) FROM title;
-- @calm
SELECT count(*), max(cardinality(subjects)) FROM title;
