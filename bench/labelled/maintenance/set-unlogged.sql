-- family: maintenance
-- label: unsafe
-- harm: The next crash of the server empties the table of prescriptions.
-- rules: data-at-risk
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE prescription SET UNLOGGED;
-- @harm crash
SELECT count(*) FROM prescription;
