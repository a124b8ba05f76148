-- breaks: report
DROP VIEW rich;
