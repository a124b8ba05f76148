-- family: do-blocks
-- label: unsafe
-- harm: Inside a block nothing can be built CONCURRENTLY, so 140,000 consignments wait.
-- rules: index-blocks-writes
-- base: freight
-- scale: 200
-- @pending
DO $$ BEGIN
    SET LOCAL lock_timeout = '2s';
    IF to_regclass('consignment_booked_idx') IS NULL THEN
        CREATE INDEX consignment_booked_idx ON consignment (booked_at);
    END IF;
END $$;
-- @harm blocked
UPDATE consignment SET status = 'booked' WHERE consignment_id = 3;
