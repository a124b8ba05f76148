-- family: types
-- label: unsafe
-- harm: The hour of every note is gone.
-- rules: content-changed
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE audit_note ALTER COLUMN written_at DROP DEFAULT;
ALTER TABLE audit_note ALTER COLUMN written_at TYPE date;
-- @harm differs
SET timezone = 'UTC';
SELECT count(DISTINCT written_at) FROM audit_note;
