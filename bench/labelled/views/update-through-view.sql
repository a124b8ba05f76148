-- family: views
-- label: unsafe
-- harm: Written through the view, every open loan is due on one day.
-- rules: content-changed
-- base: library
-- @pending
UPDATE overdue SET due_on = '2026-12-24';
-- @harm differs
SELECT count(DISTINCT due_on) FROM loan WHERE returned_on IS NULL;
