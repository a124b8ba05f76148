-- family: several-files
-- label: safe
-- why: A column, its values, and an index built beside the work.
-- base: freight
-- transaction: no
-- @pending
ALTER TABLE container ADD COLUMN owner_code text;
-- @pending
UPDATE container SET owner_code = left(number, 4);
-- @pending
CREATE INDEX CONCURRENTLY container_owner_idx ON container (owner_code);
-- @calm
INSERT INTO container (consignment_id, number) VALUES (1, 'MSCU9999999');
