-- family: drops-and-renames
-- label: unsafe
-- harm: Dropping the type takes the state of every visit along.
-- rules: column-dropped
-- base: clinic
-- @pending
DROP TYPE visit_state CASCADE;
-- @harm fails 42703
SELECT state FROM visit WHERE visit_id = 4;
