-- family: maintenance
-- label: unsafe
-- harm: After number 300 comes number 1, which is taken.
-- rules: sequence-reset
-- base: clinic
-- @pending
ALTER SEQUENCE patient_patient_id_seq MAXVALUE 300 CYCLE;
-- @harm fails 23505
INSERT INTO patient (full_name) VALUES ('New Patient');
