-- family: rights-and-settings
-- label: safe
-- why: Whoever could read still can.
-- base: library
-- @pending
GRANT SELECT ON title, copy TO PUBLIC;
-- @calm
SELECT count(*) FROM copy;
