-- family: indexes
-- label: unsafe
-- harm: Writers of 150,000 containers wait until every index is rebuilt.
-- rules: index-blocks-writes
-- base: freight
-- scale: 150
-- @pending
SET lock_timeout = '2s';
REINDEX TABLE container;
