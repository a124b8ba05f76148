-- Every row is read while nobody may read or write.
SET lock_timeout = '1s';

ALTER TABLE "AuditEvent" ALTER COLUMN "actorId" SET NOT NULL;
