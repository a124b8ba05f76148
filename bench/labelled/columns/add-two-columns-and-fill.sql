-- family: columns
-- label: safe
-- why: Both columns are new in this run, so filling them changes nothing that anybody had.
-- base: freight
-- @pending
SET lock_timeout = '2s';
ALTER TABLE vessel ADD COLUMN registry text, ADD COLUMN call_sign text;
UPDATE vessel SET registry = flag;
UPDATE vessel SET call_sign = 'X' || vessel_id WHERE vessel_id <= 10;
