-- family: indexes
-- label: unsafe
-- harm: Pupils cannot be changed while 156,000 of them are indexed.
-- rules: index-blocks-writes
-- base: library
-- scale: 600
-- @pending
SET lock_timeout = '2s';
CREATE UNIQUE INDEX pupil_name_card ON pupil (family_name, card_no);
-- @harm blocked
UPDATE pupil SET class_name = '2a' WHERE pupil_id = 7;
