-- Every row is read while nobody may read or write.
SET lock_timeout = '2s';

ALTER TABLE "AuditEvent" ALTER COLUMN "actorId" SET NOT NULL;
