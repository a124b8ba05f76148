-- family: do-blocks
-- label: safe
-- why: What the inner block did is undone by its exception, before anything is committed.
-- base: clinic
-- @pending
DO $$ BEGIN
    BEGIN
        DELETE FROM room;
        RAISE EXCEPTION 'only a trial';
    EXCEPTION
        WHEN raise_exception THEN RAISE NOTICE 'tried';
    END;
END $$;
-- @calm
SELECT count(*) FROM room;
