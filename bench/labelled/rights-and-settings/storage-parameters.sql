-- family: rights-and-settings
-- label: safe
-- why: Autovacuum looks after the table more often; nobody waits.
-- base: library
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER TABLE loan SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.01);
-- @calm open
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (1, 1, '2026-06-01');
