-- family: dml
-- label: safe
-- why: New ports; the old ones stay.
-- base: freight
-- @pending
INSERT INTO port VALUES ('P9001', 'Gävle', 'SE'), ('P9002', 'Gdańsk', 'PL');
-- @calm
SELECT count(*) FROM port WHERE code < 'P9';
