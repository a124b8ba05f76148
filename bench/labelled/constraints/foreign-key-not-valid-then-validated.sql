-- family: constraints
-- label: safe
-- why: Step one checks new rows, step two the old ones without keeping anybody out.
-- base: library
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan_event ADD CONSTRAINT loan_event_loan_fk FOREIGN KEY (loan_id) REFERENCES loan NOT VALID;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan_event VALIDATE CONSTRAINT loan_event_loan_fk;
-- @calm
INSERT INTO loan_event (loan_id, kind, at) VALUES (4, 'reminded', now());
