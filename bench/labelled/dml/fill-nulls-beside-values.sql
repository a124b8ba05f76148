-- family: dml
-- label: unsafe
-- harm: NULL meant that the pupil is still here; now all are deleted.
-- rules: content-changed
-- base: library
-- @pending
UPDATE pupil SET deleted_at = now() WHERE deleted_at IS NULL;
-- @harm differs
SELECT count(*) FROM pupil WHERE deleted_at IS NULL;
