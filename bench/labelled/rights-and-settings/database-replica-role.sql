-- family: rights-and-settings
-- label: unsafe
-- harm: In every new session of it foreign keys are not checked.
-- rules: settings-changed
-- base: library
-- role: superuser
-- @pending
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET session_replication_role = replica', current_database());
END $$;
-- @harm admits 23503
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (99999, 1, '2026-06-01');
