-- CreateTable
CREATE TABLE "AuditEvent" (
    "id" SERIAL NOT NULL,
    "actorId" TEXT,
    "kind" TEXT NOT NULL,
    "detail" JSONB NOT NULL DEFAULT '{}',
    "ip" INET,
    "occurredAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "AuditEvent_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "RetentionPolicy" (
    "kind" TEXT NOT NULL,
    "keepUntil" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "RetentionPolicy_pkey" PRIMARY KEY ("kind")
);

-- A policy takes effect at once: events of its kind from before `keepUntil` go.
CREATE FUNCTION "enforceRetention"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public."AuditEvent" WHERE "kind" = NEW."kind" AND "occurredAt" < NEW."keepUntil";
    RETURN NULL;
END
$$;

CREATE TRIGGER "RetentionPolicy_enforce" AFTER INSERT OR UPDATE ON "RetentionPolicy"
FOR EACH ROW EXECUTE FUNCTION "enforceRetention"();
