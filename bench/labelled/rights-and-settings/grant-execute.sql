-- family: rights-and-settings
-- label: safe
-- why: One more right on a function.
-- base: freight
-- @pending
GRANT EXECUTE ON FUNCTION forget_tracking(timestamptz) TO PUBLIC;
GRANT USAGE ON SCHEMA customs TO PUBLIC;
-- @calm
SELECT count(*) FROM customs.declaration;
