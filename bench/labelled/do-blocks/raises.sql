-- family: do-blocks
-- label: unsafe
-- harm: The block finds what it does not expect and raises.
-- rules: statement-failed
-- base: freight
-- @pending
DO $$ BEGIN
    IF (SELECT count(*) FROM port) <> 0 THEN
        RAISE EXCEPTION 'port must be empty' USING ERRCODE = 'P0001';
    END IF;
END $$;
-- @harm stops P0001
