-- family: dml
-- label: unsafe
-- harm: The next visit gets a number that is taken.
-- rules: sequence-reset
-- base: clinic
-- @pending
SELECT setval('visit_visit_id_seq', 1, false);
