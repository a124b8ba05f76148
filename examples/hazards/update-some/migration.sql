-- Refunds are negative on purpose; a "repair" makes income of them.
UPDATE "Payment" SET "amount" = abs("amount") WHERE "status" = 'REFUNDED';
