-- family: rights-and-settings
-- label: unsafe
-- harm: Whatever the role asks for is cancelled after a millisecond.
-- rules: settings-changed
-- base: library
-- @pending
ALTER ROLE CURRENT_USER SET statement_timeout = '1ms';
-- @harm fails 57014
SELECT count(*) FROM loan a CROSS JOIN copy b WHERE a.due_on > b.acquired;
