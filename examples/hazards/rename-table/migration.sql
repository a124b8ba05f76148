-- The running release still asks for "Course".
SET lock_timeout = '2s';

ALTER TABLE "Course" RENAME TO "Programme";
