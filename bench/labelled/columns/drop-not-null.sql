-- family: columns
-- label: safe
-- why: A writer may leave the dose out from now on; what was allowed still is.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE prescription ALTER COLUMN dose_mg DROP NOT NULL;
-- @calm
INSERT INTO prescription (visit_id, drug, dose_mg) VALUES (3, 'ibuprofen', 400);
