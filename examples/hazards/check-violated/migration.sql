-- Refunds are negative.
SET lock_timeout = '1s';

ALTER TABLE "Payment" ADD CONSTRAINT "Payment_amount_check" CHECK ("amount" >= 0);
