-- family: types
-- label: unsafe
-- harm: 180,000 visits are rewritten while nobody can read them.
-- rules: table-rewritten
-- base: clinic
-- scale: 200
-- @pending
SET lock_timeout = '2s';
DROP VIEW open_visit;
DROP TRIGGER visit_state_noted ON visit;
ALTER TABLE visit ALTER COLUMN state DROP DEFAULT, ALTER COLUMN state TYPE text USING state::text;
ALTER TABLE visit ALTER COLUMN state SET DEFAULT 'booked';
CREATE VIEW open_visit AS
    SELECT visit_id, patient_id, starts_at FROM visit WHERE state IN ('booked', 'arrived');
CREATE TRIGGER visit_state_noted AFTER UPDATE OF state ON visit
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION note_visit_state();
-- @harm blocked
SELECT starts_at FROM visit WHERE visit_id = 9;
-- @harm differs
SELECT pg_relation_filenode('visit');
