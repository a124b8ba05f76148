-- family: dml
-- label: unsafe
-- harm: Every fee is 50 from now on.
-- rules: content-changed
-- base: clinic
-- @pending
UPDATE visit SET fee = 50;
-- @harm differs
SELECT count(DISTINCT fee) FROM visit;
