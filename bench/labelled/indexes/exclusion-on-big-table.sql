-- family: indexes
-- label: unsafe
-- harm: An exclusion constraint reads and indexes 180,000 loans under ACCESS EXCLUSIVE.
-- rules: index-blocks-writes, scanned-under-lock
-- base: library
-- scale: 150
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan ADD CONSTRAINT loan_periods_apart
    EXCLUDE USING gist (daterange(due_on, due_on + 1) WITH &&) WHERE (loan_id < 0);
-- @harm blocked
SELECT due_on FROM loan WHERE loan_id = 9;
