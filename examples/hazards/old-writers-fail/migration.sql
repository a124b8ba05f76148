-- The default lives just long enough to fill the old rows; the running release cannot write a new one.
SET lock_timeout = '1s';

ALTER TABLE "User" ADD COLUMN "country" TEXT NOT NULL DEFAULT 'AT';

ALTER TABLE "User" ALTER COLUMN "country" DROP DEFAULT;
