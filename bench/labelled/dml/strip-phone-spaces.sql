-- family: dml
-- label: unsafe
-- harm: Phone numbers lose their spaces: 300 values are not what somebody typed.
-- rules: content-changed
-- base: clinic
-- @pending
UPDATE patient SET phone = replace(phone, ' ', '');
-- @harm differs
SELECT phone FROM patient WHERE patient_id = 3;
