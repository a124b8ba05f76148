-- family: drops-and-renames
-- label: safe
-- why: The dropped table was made by the same run.
-- base: freight
-- @pending
SET lock_timeout = '2s';
CREATE TABLE flag_import (vessel_id int PRIMARY KEY, flag char(2));
INSERT INTO flag_import SELECT vessel_id, flag FROM vessel;
-- @pending
SET lock_timeout = '2s';
DROP TABLE flag_import;
