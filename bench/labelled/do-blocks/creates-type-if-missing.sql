-- family: do-blocks
-- label: safe
-- why: The usual way to write CREATE TYPE IF NOT EXISTS.
-- base: library
-- @pending
DO $$ BEGIN
    CREATE TYPE shelf_kind AS ENUM ('open', 'closed');
EXCEPTION
    WHEN duplicate_object THEN NULL;
END $$;
-- @calm
SELECT count(*) FROM copy;
