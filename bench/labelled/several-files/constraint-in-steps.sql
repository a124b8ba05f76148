-- family: several-files
-- label: safe
-- why: Column, constraint NOT VALID and validation, each in a file of its own.
-- base: clinic
-- scale: 300
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ADD COLUMN room_id int;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ADD CONSTRAINT visit_room_fk FOREIGN KEY (room_id) REFERENCES room NOT VALID;
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit VALIDATE CONSTRAINT visit_room_fk;
-- @calm
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
