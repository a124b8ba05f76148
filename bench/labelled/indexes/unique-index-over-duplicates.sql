-- family: indexes
-- label: unsafe
-- harm: Three flags serve thirty vessels: the index cannot be unique.
-- rules: statement-failed, constraint-violated
-- base: freight
-- @pending
SET lock_timeout = '2s';
CREATE UNIQUE INDEX vessel_flag_key ON vessel (flag);
-- @harm stops 23505
