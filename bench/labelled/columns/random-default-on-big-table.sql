-- family: columns
-- label: unsafe
-- harm: A volatile default rewrites 180,000 visits while nobody can read them.
-- rules: table-rewritten, unsafe-default
-- base: clinic
-- scale: 200
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ADD COLUMN public_id uuid NOT NULL DEFAULT gen_random_uuid();
-- @harm differs
SELECT pg_relation_filenode('visit');
-- @harm blocked
SELECT starts_at FROM visit WHERE visit_id = 5;
