-- family: maintenance
-- label: safe
-- why: The catalog says how full new pages may be; nobody waits.
-- base: freight
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER TABLE consignment SET (fillfactor = 85);
-- @calm open
UPDATE consignment SET status = 'booked' WHERE consignment_id = 3;
