-- Nobody stays logged in.
DELETE FROM "Session";
