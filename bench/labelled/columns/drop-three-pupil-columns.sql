-- family: columns
-- label: unsafe
-- harm: Given names, classes and settings of every pupil are gone.
-- rules: column-dropped
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE pupil
    DROP COLUMN given_name,
    DROP COLUMN class_name,
    DROP COLUMN settings;
-- @harm fails 42703
SELECT given_name, class_name, settings FROM pupil WHERE pupil_id = 7;
