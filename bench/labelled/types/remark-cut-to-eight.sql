-- family: types
-- label: unsafe
-- harm: Remarks are cut at eight letters.
-- rules: content-changed
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ALTER COLUMN remark TYPE varchar(8) USING left(remark, 8);
-- @harm differs
SELECT remark FROM visit WHERE visit_id = 100;
