-- family: constraints
-- label: safe
-- why: A thousand events are checked in a moment, and all have their loan.
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan_event ADD CONSTRAINT loan_event_loan_fk FOREIGN KEY (loan_id) REFERENCES loan;
