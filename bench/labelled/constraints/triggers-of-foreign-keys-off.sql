-- family: constraints
-- label: unsafe
-- harm: Prescriptions for visits that do not exist go in from now on.
-- rules: enforcement-off
-- base: clinic
-- role: superuser
-- @pending
SET lock_timeout = '2s';
ALTER TABLE prescription DISABLE TRIGGER ALL;
-- @harm admits 23503
INSERT INTO prescription (visit_id, drug, dose_mg) VALUES (999999, 'ibuprofen', 400);
