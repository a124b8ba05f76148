-- family: dml
-- label: safe
-- why: MERGE adds what is missing and leaves the rest.
-- base: library
-- server: 15
-- @pending
MERGE INTO title t USING (VALUES ('978-000000003', 'X', 'Y'), ('979-1', 'New title', 'New author')) AS n (isbn, name, author)
ON t.isbn = n.isbn
WHEN NOT MATCHED THEN INSERT (isbn, name, author) VALUES (n.isbn, n.name, n.author);
-- @calm
SELECT name FROM title WHERE isbn = '978-000000003';
