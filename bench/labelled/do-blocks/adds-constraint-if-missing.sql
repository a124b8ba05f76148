-- family: do-blocks
-- label: safe
-- why: NOT VALID, and no row breaks it.
-- base: clinic
-- scale: 300
-- @pending
DO $$ BEGIN
    SET LOCAL lock_timeout = '2s';
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'visit_lasts') THEN
        ALTER TABLE visit ADD CONSTRAINT visit_lasts CHECK (minutes > 0) NOT VALID;
    END IF;
END $$;
-- @calm
INSERT INTO visit (patient_id, practitioner_id, starts_at) VALUES (1, 1, '2026-05-04 09:00+00');
