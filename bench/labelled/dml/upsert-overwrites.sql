-- family: dml
-- label: unsafe
-- harm: The INSERT meets ports that exist and gives them other names.
-- rules: content-changed
-- base: freight
-- @pending
INSERT INTO port VALUES ('P0001', 'Port A', 'SE'), ('P0002', 'Port B', 'PL'), ('P9001', 'Port C', 'NL')
ON CONFLICT (code) DO UPDATE SET name = EXCLUDED.name;
-- @harm differs
SELECT name FROM port WHERE code = 'P0001';
