-- family: constraints
-- label: safe
-- why: The foreign key keeps its name and begins to cascade.
-- told: cascade-added
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE copy
    DROP CONSTRAINT copy_branch_id_fkey,
    ADD CONSTRAINT copy_branch_id_fkey FOREIGN KEY (branch_id) REFERENCES branch ON DELETE CASCADE;
