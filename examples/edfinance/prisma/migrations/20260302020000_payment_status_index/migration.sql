-- The only statement of its file: Prisma sends a file as one query, and CONCURRENTLY refuses to run in company.
-- It lets readers and writers pass while it waits, so it needs no lock_timeout.
CREATE INDEX CONCURRENTLY "Payment_status_paidAt_idx" ON "public"."Payment"("status", "paidAt");
