-- One harmless row, and a trigger on its table deletes half a year of events.
INSERT INTO "RetentionPolicy" ("kind", "keepUntil") VALUES ('login', TIMESTAMPTZ '2025-09-01 00:00:00+00');
