-- family: views
-- label: safe
-- why: The columns that were there keep their names, types and places.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
CREATE OR REPLACE VIEW open_visit AS
    SELECT visit_id, patient_id, starts_at, minutes FROM visit WHERE state IN ('booked', 'arrived');
-- @calm
SELECT count(visit_id), min(patient_id), max(starts_at) FROM open_visit;
