-- The running release still asks for "title".
SET lock_timeout = '2s';

ALTER TABLE "Course" RENAME COLUMN "title" TO "name";
