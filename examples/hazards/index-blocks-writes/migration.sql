-- An index built the plain way keeps every writer waiting until it is done.
SET lock_timeout = '2s';

CREATE INDEX "AuditEvent_actorId_idx" ON "AuditEvent"("actorId");
