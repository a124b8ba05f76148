-- family: views
-- label: safe
-- why: A function that nobody calls yet.
-- base: library
-- @pending
CREATE FUNCTION loans_of(pupil int) RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT count(*) FROM loan WHERE pupil_id = pupil $$;
-- @calm
SELECT count(*) FROM loan;
