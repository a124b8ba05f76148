-- family: columns
-- label: safe
-- why: A nullable foreign key on a new column has no row to check.
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE container ADD COLUMN loaded_at char(5) REFERENCES port;
-- @calm
INSERT INTO container (consignment_id, number) VALUES (1, 'MSCU9999999');
