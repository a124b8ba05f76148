-- The running release still asks for "title".
SET lock_timeout = '1s';

ALTER TABLE "Course" RENAME COLUMN "title" TO "name";
