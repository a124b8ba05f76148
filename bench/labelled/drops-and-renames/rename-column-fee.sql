-- family: drops-and-renames
-- label: unsafe
-- harm: The running release writes visit.fee, which has another name now.
-- rules: renamed
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit RENAME COLUMN fee TO fee_amount;
-- @harm fails 42703
UPDATE visit SET fee = 90 WHERE visit_id = 4;
