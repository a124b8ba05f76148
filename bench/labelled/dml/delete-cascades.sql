-- family: dml
-- label: unsafe
-- harm: The statement names visits, and their prescriptions go with them.
-- rules: rows-lost
-- base: clinic
-- @pending
DELETE FROM visit WHERE visit_id BETWEEN 10 AND 60;
-- @harm differs
SELECT count(*) FROM prescription;
