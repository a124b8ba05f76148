-- The ids are running out; the new type writes the whole table and its indexes anew.
SET lock_timeout = '1s';

ALTER TABLE "AuditEvent" ALTER COLUMN "id" SET DATA TYPE BIGINT;
