-- The constraint is never validated, so nothing is known about the rows that were there before.
SET lock_timeout = '2s';

ALTER TABLE "Coupon" ADD CONSTRAINT "Coupon_percentOff_check" CHECK ("percentOff" BETWEEN 1 AND 100) NOT VALID;
