-- family: do-blocks
-- label: unsafe
-- harm: The block drops a column if it is there, and it is.
-- rules: column-dropped
-- base: library
-- @pending
DO $$ BEGIN
    IF EXISTS (SELECT FROM information_schema.columns WHERE table_name = 'title' AND column_name = 'subjects') THEN
        ALTER TABLE title DROP COLUMN subjects;
    END IF;
END $$;
-- @harm fails 42703
SELECT subjects FROM title WHERE isbn = '978-000000003';
