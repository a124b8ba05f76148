-- family: rights-and-settings
-- label: safe
-- why: Comments on table, column and schema.
-- base: freight
-- @pending
COMMENT ON TABLE consignment IS 'One order of carriage.';
COMMENT ON COLUMN consignment.status IS 'draft, booked, at sea or delivered';
COMMENT ON SCHEMA customs IS 'What the customs office wants to know.';
-- @calm open
SELECT count(*) FROM consignment;
