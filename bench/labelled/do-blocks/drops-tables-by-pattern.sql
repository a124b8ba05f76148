-- family: do-blocks
-- label: unsafe
-- harm: Every table whose name begins with audit is dropped.
-- rules: table-dropped
-- base: clinic
-- @pending
DO $$
DECLARE each record;
BEGIN
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'audit%' LOOP
        EXECUTE format('DROP TABLE %I', each.tablename);
    END LOOP;
END $$;
-- @harm fails 42P01
SELECT count(*) FROM audit_note;
