-- A column goes that only some rows have a value in.
SET lock_timeout = '1s';

ALTER TABLE "User" DROP COLUMN "avatar";
