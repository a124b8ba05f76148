-- family: rights-and-settings
-- label: unsafe
-- harm: now() without a zone, as consignments are booked, is five hours and a half off from now on.
-- rules: settings-changed
-- base: freight
-- @pending
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Kolkata''', current_database());
END $$;
-- @harm differs
SELECT current_setting('timezone');
SELECT date_trunc('minute', now()::timestamp - now() AT TIME ZONE 'UTC');
