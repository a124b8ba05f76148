-- family: do-blocks
-- label: unsafe
-- harm: The block writes one author for all.
-- rules: content-changed
-- base: library
-- @pending
DO $body$ BEGIN
    EXECUTE $sql$UPDATE title SET author = 'Unknown'$sql$;
END $body$;
-- @harm differs
SELECT count(DISTINCT author) FROM title;
