-- Every index of the table is written anew, and every writer waits until the last one is done.
SET lock_timeout = '1s';

REINDEX TABLE "AuditEvent";
