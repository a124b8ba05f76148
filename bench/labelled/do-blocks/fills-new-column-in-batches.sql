-- family: do-blocks
-- label: safe
-- why: The column is new; a loop fills it a hundred rows at a time.
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ADD COLUMN weight_t numeric(10, 3);
DO $$
DECLARE low bigint := 0;
BEGIN
    WHILE low < 700 LOOP
        UPDATE consignment SET weight_t = weight_kg / 1000.0 WHERE consignment_id > low AND consignment_id <= low + 100;
        low := low + 100;
    END LOOP;
END $$;
-- @calm
SELECT sum(weight_kg) FROM consignment;
