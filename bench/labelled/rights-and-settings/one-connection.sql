-- family: rights-and-settings
-- label: unsafe
-- harm: The second worker of the application is turned away.
-- rules: settings-changed
-- base: clinic
-- @pending
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 1', current_database());
END $$;
-- @harm fails
\connect
SELECT count(*) FROM visit;
