-- Sent as one query with another statement, CONCURRENTLY refuses to run.
SET lock_timeout = '1s';

CREATE INDEX CONCURRENTLY "AuditEvent_actorId_idx" ON "AuditEvent"("actorId");
