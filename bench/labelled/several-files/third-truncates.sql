-- family: several-files
-- label: unsafe
-- harm: Two harmless files, and a third that empties the declarations.
-- rules: truncated, rows-lost
-- base: freight
-- @pending
CREATE TABLE customs.broker (broker_id serial PRIMARY KEY, name text NOT NULL);
-- @pending
INSERT INTO customs.broker (name) SELECT DISTINCT broker FROM customs.declaration;
-- @pending
TRUNCATE customs.declaration;
-- @harm differs
SELECT count(*) FROM customs.declaration;
