-- family: several-files
-- label: unsafe
-- harm: Outside a transaction the first statement stays when the second fails.
-- rules: statement-failed, partially-applied
-- base: freight
-- transaction: no
-- @pending
CREATE INDEX CONCURRENTLY container_seal_idx ON container (seal);
CREATE UNIQUE INDEX CONCURRENTLY container_tare_key ON container (tare_kg);
-- @pending
SET lock_timeout = '2s';
ALTER TABLE container ADD COLUMN sealed_by text;
-- @harm stops 23505
SELECT to_regclass('container_seal_idx');
