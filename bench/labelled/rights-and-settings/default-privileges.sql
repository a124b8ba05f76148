-- family: rights-and-settings
-- label: safe
-- why: New tables will be readable; old ones stay as they are.
-- base: clinic
-- @pending
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
-- @calm
SELECT count(*) FROM visit;
