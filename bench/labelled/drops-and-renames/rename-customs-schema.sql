-- family: drops-and-renames
-- label: unsafe
-- harm: Every statement that names customs.declaration fails.
-- rules: renamed
-- base: freight
-- @pending
ALTER SCHEMA customs RENAME TO customs_office;
-- @harm fails 42P01
SELECT cleared FROM customs.declaration WHERE declaration_id = 3;
