-- family: rights-and-settings
-- label: unsafe
-- harm: Every new session of the application can only read.
-- rules: settings-changed
-- base: clinic
-- @pending
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
END $$;
-- @harm fails 25006
UPDATE visit SET remark = 'called' WHERE visit_id = 4;
