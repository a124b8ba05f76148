-- family: constraints
-- label: unsafe
-- harm: 150,000 events are checked while writers of both tables are locked out.
-- rules: scanned-under-lock
-- base: library
-- scale: 150
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan_event ADD CONSTRAINT loan_event_loan_fk FOREIGN KEY (loan_id) REFERENCES loan;
-- @harm blocked
UPDATE loan SET returned_on = CURRENT_DATE WHERE loan_id = 9;
