-- TRUNCATE fires no row trigger and is no DELETE, but empties the table all the same.
SET lock_timeout = '1s';

TRUNCATE TABLE "AuditEvent" RESTART IDENTITY;
