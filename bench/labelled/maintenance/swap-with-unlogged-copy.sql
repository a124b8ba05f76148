-- family: maintenance
-- label: unsafe
-- harm: Every row is there, in a table that the next crash empties.
-- rules: data-at-risk
-- base: library
-- @pending
SET lock_timeout = '2s';
CREATE UNLOGGED TABLE loan_event_new (LIKE loan_event INCLUDING ALL);
INSERT INTO loan_event_new SELECT * FROM loan_event;
ALTER SEQUENCE loan_event_event_id_seq OWNED BY loan_event_new.event_id;
DROP TABLE loan_event;
ALTER TABLE loan_event_new RENAME TO loan_event;
-- @harm crash
SELECT count(*) FROM loan_event;
