-- Two digits of every amount are rounded away.
SET lock_timeout = '1s';

ALTER TABLE "Payment" ALTER COLUMN "amount" SET DATA TYPE DECIMAL(12,2);
