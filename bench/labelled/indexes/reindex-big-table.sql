-- family: indexes
-- label: unsafe
-- harm: Writers of 150,000 containers wait until every index is rebuilt.
-- rules: index-blocks-writes
-- base: freight
-- scale: 150
-- @pending
SET lock_timeout = '2s';
REINDEX TABLE container;
-- @harm blocked
UPDATE container SET seal = 'S1' WHERE container_id = 4;
