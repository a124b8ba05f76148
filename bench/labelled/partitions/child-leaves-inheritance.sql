-- family: partitions
-- label: unsafe
-- harm: Sixty recordings are no longer among the media.
-- rules: rows-lost
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE audiobook NO INHERIT media;
-- @harm differs
SELECT count(*) FROM media;
