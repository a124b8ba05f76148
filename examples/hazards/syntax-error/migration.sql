-- The first statement is fine.
SET lock_timeout = '1s';

ALTER TABLE "Course" ADD COLUMN "level" TEXT;

ALTER TABLE "Course" ADD COLUMN "hours" INTEGER NOT NUL DEFAULT 0;
