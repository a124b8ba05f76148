-- family: do-blocks
-- label: unsafe
-- harm: CLUSTER hidden in a block.
-- rules: table-rewritten
-- base: clinic
-- scale: 200
-- @pending
DO $$ BEGIN EXECUTE 'CLUSTER prescription USING prescription_visit_idx'; END $$;
-- @harm blocked
SELECT drug FROM prescription WHERE prescription_id = 5;
