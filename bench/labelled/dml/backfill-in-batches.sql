-- family: dml
-- label: safe
-- why: Two statements fill one new column, each its half.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ADD COLUMN ends_at timestamptz;
UPDATE visit SET ends_at = starts_at + minutes * interval '1 minute' WHERE visit_id <= 450;
UPDATE visit SET ends_at = starts_at + minutes * interval '1 minute' WHERE visit_id > 450;
-- @calm
SELECT count(*), sum(minutes) FROM visit;
