-- family: types
-- label: unsafe
-- harm: Card numbers begin with a letter.
-- rules: statement-failed
-- base: library
-- @pending
SET lock_timeout = '2s';
ALTER TABLE pupil ALTER COLUMN card_no TYPE int USING card_no::int;
-- @harm stops 22P02
