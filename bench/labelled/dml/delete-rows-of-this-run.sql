-- family: dml
-- label: safe
-- why: The rows that go came with the same migration.
-- base: freight
-- @pending
INSERT INTO port SELECT 'T' || lpad(g::text, 4, '0'), 'Trial ' || g, 'SE' FROM generate_series(1, 10) g;
DELETE FROM port WHERE code LIKE 'T%';
-- @calm
SELECT count(*) FROM port;
