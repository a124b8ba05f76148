-- family: dml
-- label: safe
-- why: A branch that exists stays as it is.
-- base: library
-- @pending
INSERT INTO branch VALUES (1, 'Another name'), (4, 'Field school') ON CONFLICT DO NOTHING;
-- @calm
SELECT name FROM branch WHERE branch_id = 1;
