-- family: several-files
-- label: safe
-- why: The value is committed by the first file, so the second may use it.
-- base: clinic
-- @pending
ALTER TYPE visit_state ADD VALUE 'cancelled';
-- @pending
SET lock_timeout = '2s';
CREATE TABLE cancellation (visit_id bigint PRIMARY KEY REFERENCES visit, state visit_state NOT NULL DEFAULT 'cancelled');
INSERT INTO cancellation (visit_id) VALUES (4);
-- @calm
UPDATE visit SET state = 'missed' WHERE visit_id = 4;
