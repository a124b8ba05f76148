-- family: rights-and-settings
-- label: safe
-- why: A policy counts for nothing until row security is enabled.
-- base: clinic
-- @pending
CREATE POLICY own_visits ON visit FOR SELECT USING (true);
-- @calm
SELECT count(*) FROM visit;
