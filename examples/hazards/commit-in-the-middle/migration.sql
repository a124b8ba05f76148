-- What stands before the COMMIT stays although the rest fails.
SET lock_timeout = '1s';

ALTER TABLE "Course" ADD COLUMN "level" TEXT;

COMMIT;

ALTER TABLE "Course" ALTER COLUMN "levle" SET DEFAULT 'beginner';
