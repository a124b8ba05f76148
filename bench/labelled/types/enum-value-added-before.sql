-- family: types
-- label: safe
-- why: A value in the middle of the order; no row is written.
-- base: clinic
-- @pending
ALTER TYPE visit_state ADD VALUE IF NOT EXISTS 'confirmed' BEFORE 'arrived';
