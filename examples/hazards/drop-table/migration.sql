-- A table goes, and every open session with it.
SET lock_timeout = '2s';

DROP TABLE "Session";
