-- family: maintenance
-- label: safe
-- why: A plain VACUUM runs beside readers and writers.
-- base: library
-- scale: 300
-- transaction: no
-- @pending
VACUUM (ANALYZE) loan;
-- @calm
SELECT count(*) FROM loan;
