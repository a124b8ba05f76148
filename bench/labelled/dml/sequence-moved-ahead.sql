-- family: dml
-- label: safe
-- why: Numbers are skipped; none is handed out twice.
-- base: clinic
-- @pending
SELECT setval('visit_visit_id_seq', 20000);
