-- family: columns
-- label: safe
-- why: now() is the same for the whole statement, so Postgres keeps it as a constant.
-- base: library
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
-- @calm
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (1, 1, '2026-06-01');
SELECT pg_relation_filenode('loan');
