-- BEGIN without COMMIT: all of it is undone when the session ends, bookkeeping included.
SET lock_timeout = '1s';

BEGIN;

ALTER TABLE "Course" ADD COLUMN "level" TEXT;
