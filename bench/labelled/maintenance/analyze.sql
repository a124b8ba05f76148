-- family: maintenance
-- label: safe
-- why: ANALYZE reads a sample and keeps nobody out.
-- base: clinic
-- scale: 500
-- @pending
ANALYZE visit;
ANALYZE patient (born, email);
