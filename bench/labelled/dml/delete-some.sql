-- family: dml
-- label: unsafe
-- harm: 225 missed visits are deleted.
-- rules: rows-lost
-- base: clinic
-- @pending
DELETE FROM visit WHERE state = 'missed';
-- @harm differs
SELECT count(*) FROM visit;
