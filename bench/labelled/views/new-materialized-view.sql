-- family: views
-- label: safe
-- why: New, so nobody waits for it.
-- base: library
-- @pending
CREATE MATERIALIZED VIEW lent_by_month AS
    SELECT date_trunc('month', lent_on::timestamp)::date AS month, count(*) AS loans FROM loan GROUP BY 1;
CREATE UNIQUE INDEX lent_by_month_key ON lent_by_month (month);
-- @calm
INSERT INTO loan (copy_id, pupil_id, due_on) VALUES (1, 1, '2026-06-01');
