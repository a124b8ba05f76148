-- family: indexes
-- label: unsafe
-- harm: CREATE INDEX CONCURRENTLY cannot run between BEGIN and COMMIT.
-- rules: statement-failed
-- base: clinic
-- transaction: no
-- @pending
BEGIN;
CREATE INDEX CONCURRENTLY visit_state_idx ON visit (state);
COMMIT;
-- @harm stops 25001
