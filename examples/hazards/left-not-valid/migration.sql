-- Rows that were there break the constraint; NOT VALID lets it in without a look at them.
SET lock_timeout = '1s';

ALTER TABLE "Coupon" ADD CONSTRAINT "Coupon_percentOff_check" CHECK ("percentOff" BETWEEN 1 AND 9) NOT VALID;
