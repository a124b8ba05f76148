-- Every row is looked up while nobody may write to either table.
SET lock_timeout = '1s';

ALTER TABLE "AuditEvent" ADD CONSTRAINT "AuditEvent_actorId_fkey"
FOREIGN KEY ("actorId") REFERENCES "User"("id") ON DELETE SET NULL ON UPDATE CASCADE;
