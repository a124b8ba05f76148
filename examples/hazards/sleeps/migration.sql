-- It would end tomorrow.
SELECT pg_sleep(86400);
