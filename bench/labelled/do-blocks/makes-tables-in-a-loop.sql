-- family: do-blocks
-- label: safe
-- why: One new table for each of three years.
-- base: library
-- @pending
DO $$ BEGIN
    FOR year IN 2026 .. 2028 LOOP
        EXECUTE format('CREATE TABLE stocktaking_%s (copy_id int PRIMARY KEY, seen_on date)', year);
    END LOOP;
END $$;
-- @calm
SELECT count(*) FROM copy;
