-- family: indexes
-- label: unsafe
-- harm: The build fails half way and leaves an invalid index behind.
-- rules: statement-failed, constraint-violated, partially-applied, invalid-index
-- base: clinic
-- transaction: no
-- @pending
CREATE UNIQUE INDEX CONCURRENTLY prescription_drug_key ON prescription (drug);
-- @harm stops 23505
SELECT count(*) FROM pg_index WHERE NOT indisvalid;
