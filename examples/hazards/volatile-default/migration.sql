-- A default that differs from row to row writes the whole table anew.
SET lock_timeout = '1s';

ALTER TABLE "AuditEvent" ADD COLUMN "publicId" UUID NOT NULL DEFAULT gen_random_uuid();
