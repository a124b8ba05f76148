-- family: maintenance
-- label: unsafe
-- harm: 180,000 visits are put into order while nobody can read them.
-- rules: table-rewritten
-- base: clinic
-- scale: 200
-- @pending
SET lock_timeout = '2s';
CLUSTER visit USING visit_starts_at_idx;
-- @harm blocked
SELECT starts_at FROM visit WHERE visit_id = 5;
