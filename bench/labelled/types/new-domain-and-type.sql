-- family: types
-- label: safe
-- why: New types that nothing uses yet.
-- base: library
-- @pending
CREATE TYPE reading_level AS ENUM ('starter', 'fluent', 'advanced');
CREATE DOMAIN positive_cents AS int CHECK (VALUE >= 0);
-- @calm
SELECT sum(fine_cents) FROM loan;
