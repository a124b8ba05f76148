-- family: drops-and-renames
-- label: unsafe
-- harm: Declarations and tariffs are gone with their schema.
-- rules: schema-dropped, table-dropped
-- base: freight
-- @pending
DROP SCHEMA customs CASCADE;
-- @harm fails 42P01
SELECT count(*) FROM customs.declaration;
