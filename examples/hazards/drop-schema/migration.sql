-- A schema goes with the tables in it.
SET lock_timeout = '2s';

DROP SCHEMA "reporting" CASCADE;
