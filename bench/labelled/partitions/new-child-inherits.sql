-- family: partitions
-- label: safe
-- why: A new child table adds nothing to the parent until somebody writes.
-- base: library
-- @pending
CREATE TABLE magazine (issue int NOT NULL) INHERITS (media);
-- @calm
SELECT count(*) FROM media;
