-- family: several-files
-- label: safe
-- why: Each file opens and commits its own transaction.
-- base: freight
-- transaction: no
-- @pending
BEGIN;
SET LOCAL lock_timeout = '2s';
ALTER TABLE vessel ADD COLUMN built smallint;
COMMIT;
-- @pending
BEGIN;
SET LOCAL lock_timeout = '2s';
ALTER TABLE vessel ADD COLUMN scrapped smallint;
COMMIT;
-- @calm
INSERT INTO vessel (name, imo) VALUES ('MV New', 9200001);
