-- family: views
-- label: safe
-- why: A view over a table takes nothing away.
-- base: clinic
-- @pending
CREATE VIEW long_visit AS SELECT visit_id, minutes FROM visit WHERE minutes > 30;
-- @calm
SELECT count(*) FROM open_visit;
