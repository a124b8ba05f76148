-- Some payments remember coupons that are gone.
SET lock_timeout = '1s';

ALTER TABLE "Payment" ADD CONSTRAINT "Payment_couponCode_fkey"
FOREIGN KEY ("couponCode") REFERENCES "Coupon"("code") ON DELETE SET NULL ON UPDATE CASCADE;
