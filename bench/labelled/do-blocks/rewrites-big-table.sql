-- family: do-blocks
-- label: unsafe
-- harm: The block changes a type, and 180,000 loans are rewritten.
-- rules: table-rewritten
-- base: library
-- scale: 150
-- @pending
DO $$ BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    EXECUTE 'ALTER TABLE loan ALTER COLUMN fine_cents TYPE numeric(10, 2)';
END $$;
-- @harm blocked
SELECT due_on FROM loan WHERE loan_id = 9;
