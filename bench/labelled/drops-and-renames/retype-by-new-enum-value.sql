-- family: drops-and-renames
-- label: safe
-- why: A new value of an enum takes nothing away.
-- base: clinic
-- @pending
ALTER TYPE visit_state ADD VALUE 'cancelled' AFTER 'missed';
-- @calm
UPDATE visit SET state = 'missed' WHERE visit_id = 4;
