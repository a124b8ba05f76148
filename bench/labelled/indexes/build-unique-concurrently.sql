-- family: indexes
-- label: safe
-- why: All container numbers differ, and nobody waits.
-- base: freight
-- scale: 300
-- transaction: no
-- @pending
CREATE UNIQUE INDEX CONCURRENTLY container_number_key ON container (number);
