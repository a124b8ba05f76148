-- family: columns
-- label: safe
-- why: A constant jsonb default is a change of the catalog.
-- base: clinic
-- scale: 400
-- @pending
SET lock_timeout = '2s';
ALTER TABLE patient ADD COLUMN preferences jsonb NOT NULL DEFAULT '{"reminders": true}';
-- @calm
INSERT INTO patient (full_name) VALUES ('New Patient');
