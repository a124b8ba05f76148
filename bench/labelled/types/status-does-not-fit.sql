-- family: types
-- label: unsafe
-- harm: 'draft' has five letters and does not fit into four.
-- rules: statement-failed
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment ALTER COLUMN status TYPE varchar(4);
-- @harm stops 22001
