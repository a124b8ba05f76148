-- family: constraints
-- label: unsafe
-- harm: The constraint looks for loans among the copies, and 700 events find none: the statement fails.
-- rules: constraint-violated, statement-failed, orphaned-rows
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan_event ADD CONSTRAINT loan_event_copy_fk FOREIGN KEY (loan_id) REFERENCES copy (copy_id);
-- @harm stops 23503
