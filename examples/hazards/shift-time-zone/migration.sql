-- The column holds UTC; read as Vienna time every moment moves by an hour or two.
SET lock_timeout = '1s';

ALTER TABLE "Enrollment" ALTER COLUMN "enrolledAt" SET DATA TYPE TIMESTAMPTZ(3)
USING "enrolledAt" AT TIME ZONE 'Europe/Vienna';
