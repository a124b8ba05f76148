-- family: maintenance
-- label: safe
-- why: 25 ports are put into order in a moment.
-- base: freight
-- @pending
SET lock_timeout = '2s';
CLUSTER port USING port_pkey;
-- @calm
SELECT count(*), min(name) FROM port;
