-- family: rights-and-settings
-- label: unsafe
-- harm: New sessions look for consignments among the customs papers and find none.
-- rules: settings-changed
-- base: freight
-- @pending
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = customs', current_database());
END $$;
-- @harm fails 42P01
SELECT count(*) FROM consignment;
