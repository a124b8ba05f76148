-- family: views
-- label: safe
-- why: A comment.
-- base: clinic
-- @pending
COMMENT ON VIEW open_visit IS 'Visits that are still to come, or under way.';
-- @calm
SELECT count(*) FROM open_visit;
