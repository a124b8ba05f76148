-- breaks: report
REFRESH MATERIALIZED VIEW turnover WITH NO DATA;
