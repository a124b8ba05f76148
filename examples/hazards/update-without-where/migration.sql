-- The WHERE was forgotten: every user speaks English now.
UPDATE "User" SET "locale" = 'en';
