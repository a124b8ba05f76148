-- There are rows already, and nothing to put in their new column.
SET lock_timeout = '1s';

ALTER TABLE "Course" ADD COLUMN "level" TEXT NOT NULL;
