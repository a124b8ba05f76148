-- family: constraints
-- label: safe
-- why: Twelve rooms are read in a moment.
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE room ADD CONSTRAINT room_floor CHECK (floor BETWEEN -2 AND 20);
