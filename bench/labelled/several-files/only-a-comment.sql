-- family: several-files
-- label: safe
-- why: A file that holds nothing but a comment, and one that adds a table.
-- base: clinic
-- @pending
-- The number of this file is kept; what stood here was withdrawn.
-- @pending
CREATE TABLE reminder (reminder_id serial PRIMARY KEY, visit_id bigint NOT NULL, sent_at timestamptz);
-- @calm
SELECT count(*) FROM visit;
