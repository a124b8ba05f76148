-- family: maintenance
-- label: unsafe
-- harm: The highest number allowed was handed out already.
-- rules: sequence-reset
-- base: library
-- @pending
ALTER SEQUENCE loan_loan_id_seq MAXVALUE 1200;
-- @harm fails 2200H
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (1, 1, '2026-06-01');
