-- family: views
-- label: unsafe
-- harm: The table of media is dropped with its films; a view over the recordings takes its name.
-- rules: table-dropped, rows-lost
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE audiobook NO INHERIT media;
DROP TABLE media;
CREATE VIEW media AS SELECT media_id, name FROM audiobook;
-- @harm differs
SELECT count(*) FROM media;
