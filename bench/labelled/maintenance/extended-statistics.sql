-- family: maintenance
-- label: safe
-- why: Statistics for the planner.
-- base: clinic
-- scale: 300
-- @pending
CREATE STATISTICS visit_when_and_how_long (dependencies) ON starts_at, minutes FROM visit;
ALTER TABLE visit ALTER COLUMN state SET STATISTICS 500;
-- @calm open
UPDATE visit SET remark = 'called' WHERE visit_id = 4;
