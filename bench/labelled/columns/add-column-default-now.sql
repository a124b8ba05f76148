-- family: columns
-- label: safe
-- why: now() is the same for the whole statement, so Postgres keeps it as a constant.
-- base: library
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
