-- family: indexes
-- label: safe
-- why: A partial index, built beside the work.
-- base: library
-- scale: 300
-- transaction: no
-- @pending
CREATE INDEX CONCURRENTLY loan_open_idx ON loan (pupil_id) WHERE returned_on IS NULL;
