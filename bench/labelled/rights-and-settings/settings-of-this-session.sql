-- family: rights-and-settings
-- label: safe
-- why: The settings end with the migration's session.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
SET statement_timeout = '60s';
SET LOCAL work_mem = '32MB';
ALTER TABLE practitioner ADD COLUMN room_id int;
RESET statement_timeout;
-- @calm
SELECT count(*) FROM practitioner;
