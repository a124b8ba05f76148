-- family: rights-and-settings
-- label: unsafe
-- harm: Whatever the role asks for is cancelled after a millisecond.
-- rules: settings-changed
-- base: library
-- @pending
ALTER ROLE CURRENT_USER SET statement_timeout = '1ms';
