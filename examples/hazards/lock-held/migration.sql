-- An instant change in the same transaction as something slow: the lock stays until the end.
SET lock_timeout = '1s';

ALTER TABLE "Course" ADD COLUMN "level" TEXT;

-- A stand-in for the backfill that people put here.
SELECT pg_sleep(2);
