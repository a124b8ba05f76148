-- The word DROP TABLE never touches a table name: it is put together while the block runs.
SET lock_timeout = '1s';

DO $$
DECLARE
    leftover text;
BEGIN
    FOR leftover IN SELECT relname FROM pg_class WHERE relname LIKE 'Coup%' AND relkind = 'r' LOOP
        EXECUTE format('DROP TABLE %I', leftover);
    END LOOP;
END
$$;
