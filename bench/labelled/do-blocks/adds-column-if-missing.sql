-- family: do-blocks
-- label: safe
-- why: A nullable column, added once.
-- base: clinic
-- scale: 300
-- @pending
DO $$ BEGIN
    SET LOCAL lock_timeout = '2s';
    IF NOT EXISTS (SELECT FROM information_schema.columns WHERE table_name = 'visit' AND column_name = 'channel') THEN
        ALTER TABLE visit ADD COLUMN channel text;
    END IF;
END $$;
-- @calm
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
