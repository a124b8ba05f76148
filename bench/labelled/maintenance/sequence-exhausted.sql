-- family: maintenance
-- label: unsafe
-- harm: The highest number allowed was handed out already.
-- rules: sequence-reset
-- base: library
-- @pending
ALTER SEQUENCE loan_loan_id_seq MAXVALUE 1200;
