-- A table goes, and every open session with it.
SET lock_timeout = '1s';

DROP TABLE "Session";
