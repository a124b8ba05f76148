-- The running release still asks for "Course".
SET lock_timeout = '1s';

ALTER TABLE "Course" RENAME TO "Programme";
