-- family: do-blocks
-- label: unsafe
-- harm: Every sequence of the schema is set to 1.
-- rules: sequence-reset
-- base: library
-- @pending
DO $$
DECLARE each record;
BEGIN
    FOR each IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        PERFORM setval(format('public.%I', each.sequencename)::regclass, 1, false);
    END LOOP;
END $$;
-- @harm fails 23505
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (1, 1, '2026-06-01');
