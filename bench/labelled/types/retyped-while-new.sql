-- family: types
-- label: safe
-- why: A new table's column gets its final type before anybody uses it.
-- base: library
-- @pending
CREATE TABLE opening (branch_id int NOT NULL REFERENCES branch, opens_at timestamp(0) NOT NULL);
ALTER TABLE opening ALTER COLUMN opens_at TYPE timestamptz USING opens_at AT TIME ZONE 'UTC';
-- @calm
INSERT INTO branch VALUES (9, 'Field school');
