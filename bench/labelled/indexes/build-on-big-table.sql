-- family: indexes
-- label: unsafe
-- harm: Nobody can book while 180,000 visits are indexed.
-- rules: index-blocks-writes
-- base: clinic
-- scale: 200
-- @pending
SET lock_timeout = '2s';
CREATE INDEX visit_state_idx ON visit (state);
-- @harm blocked
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
