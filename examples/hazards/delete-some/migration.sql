-- A clean-up of old sessions that rides along with a migration.
DELETE FROM "Session" WHERE "expiresAt" < TIMESTAMPTZ '2025-12-15 00:00:00+00';
