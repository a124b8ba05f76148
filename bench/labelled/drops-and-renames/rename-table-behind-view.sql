-- family: drops-and-renames
-- label: safe
-- why: A view under the old name reads and writes as before.
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE branch RENAME TO school;
CREATE VIEW branch AS SELECT branch_id, name FROM school;
-- @calm
SELECT name FROM branch ORDER BY branch_id;
INSERT INTO branch VALUES (4, 'Field school');
UPDATE branch SET name = 'Upper school' WHERE branch_id = 2;
