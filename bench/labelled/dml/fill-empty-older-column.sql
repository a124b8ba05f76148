-- family: dml
-- label: safe
-- why: The column was NULL in every row: nobody's value is overwritten.
-- base: library
-- @pending
UPDATE copy SET barcode = 'B' || lpad(copy_id::text, 8, '0') WHERE barcode IS NULL;
-- @calm
SELECT count(*), min(shelf) FROM copy;
