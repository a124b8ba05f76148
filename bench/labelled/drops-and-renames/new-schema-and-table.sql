-- family: drops-and-renames
-- label: safe
-- why: What is new cannot be missed by anybody.
-- base: library
-- @pending
CREATE SCHEMA reading_club;
CREATE TABLE reading_club.meeting (meeting_id int PRIMARY KEY, held_on date NOT NULL, isbn text REFERENCES title);
-- @calm
SELECT count(*) FROM title;
