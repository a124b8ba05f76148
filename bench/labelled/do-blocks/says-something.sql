-- family: do-blocks
-- label: safe
-- why: The block counts and says so.
-- base: freight
-- @pending
DO $$
DECLARE rows bigint;
BEGIN
    SELECT count(*) INTO rows FROM port;
    RAISE NOTICE '% ports', rows;
END $$;
-- @calm open
UPDATE port SET name = 'Port A' WHERE code = 'P0001';
