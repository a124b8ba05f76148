-- Titles are longer than that.
SET lock_timeout = '1s';

ALTER TABLE "Course" ALTER COLUMN "title" SET DATA TYPE VARCHAR(20);
