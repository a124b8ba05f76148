-- family: do-blocks
-- label: unsafe
-- harm: Declarations are deleted one after another, however it is written.
-- rules: rows-lost
-- base: freight
-- @pending
DO $$
DECLARE one int;
BEGIN
    FOR one IN SELECT declaration_id FROM customs.declaration WHERE cleared LOOP
        DELETE FROM customs.declaration WHERE declaration_id = one;
    END LOOP;
END $$;
-- @harm differs
SELECT count(*) FROM customs.declaration;
