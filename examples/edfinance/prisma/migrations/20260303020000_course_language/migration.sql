-- If the table is not free within a second, give up rather than make everybody queue behind us.
SET lock_timeout = '1s';

-- AlterTable
-- A constant default and a wider type: both change the catalog only, no row is read or written.
ALTER TABLE "public"."Course" ADD COLUMN "language" TEXT NOT NULL DEFAULT 'en',
ALTER COLUMN "subtitle" SET DATA TYPE TEXT;

-- The next migration runs in the same session.
RESET lock_timeout;
