-- family: views
-- label: unsafe
-- harm: The running release reads open_visit, which has another name now.
-- rules: renamed
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER VIEW open_visit RENAME TO pending_visit;
-- @harm fails 42P01
SELECT count(*) FROM open_visit;
