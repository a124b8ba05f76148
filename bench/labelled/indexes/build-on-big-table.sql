-- family: indexes
-- label: unsafe
-- harm: Nobody can book while 180,000 visits are indexed.
-- rules: index-blocks-writes
-- base: clinic
-- scale: 200
-- @pending
SET lock_timeout = '2s';
CREATE INDEX visit_state_idx ON visit (state);
