-- NOT VALID lets the constraint in although rows point at coupons that are gone.
SET lock_timeout = '1s';

ALTER TABLE "Payment" ADD CONSTRAINT "Payment_couponCode_fkey"
FOREIGN KEY ("couponCode") REFERENCES "Coupon"("code") NOT VALID;
