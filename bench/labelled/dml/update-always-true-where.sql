-- family: dml
-- label: unsafe
-- harm: A condition that holds for every row: all fines are forgiven.
-- rules: content-changed
-- base: library
-- @pending
UPDATE loan SET fine_cents = 0 WHERE loan_id IS NOT NULL;
-- @harm differs
SELECT sum(fine_cents) FROM loan;
