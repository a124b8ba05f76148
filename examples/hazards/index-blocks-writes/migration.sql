-- An index built the plain way keeps every writer waiting until it is done.
SET lock_timeout = '1s';

CREATE INDEX "AuditEvent_actorId_idx" ON "AuditEvent"("actorId");
