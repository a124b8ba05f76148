-- A schema goes with the tables in it.
SET lock_timeout = '1s';

DROP SCHEMA "reporting" CASCADE;
