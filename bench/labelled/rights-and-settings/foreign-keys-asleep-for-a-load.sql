-- family: rights-and-settings
-- label: unsafe
-- harm: Rows are loaded while foreign keys sleep: three prescriptions have no visit.
-- rules: orphaned-rows, constraint-violated
-- base: clinic
-- role: superuser
-- @pending
SET session_replication_role = replica;
INSERT INTO prescription (visit_id, drug, dose_mg) SELECT 90000 + g, 'zinc', 10 FROM generate_series(1, 3) g;
SET session_replication_role = DEFAULT;
-- @harm differs
SELECT count(*) FROM prescription p WHERE NOT EXISTS (SELECT FROM visit v WHERE v.visit_id = p.visit_id);
