-- Drafts have no date of publication.
SET lock_timeout = '1s';

ALTER TABLE "Course" ALTER COLUMN "publishedAt" SET NOT NULL;
