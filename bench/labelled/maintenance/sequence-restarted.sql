-- family: maintenance
-- label: unsafe
-- harm: The next vessel gets number 1, which is taken.
-- rules: sequence-reset
-- base: freight
-- @pending
ALTER SEQUENCE vessel_vessel_id_seq RESTART;
-- @harm fails 23505
INSERT INTO vessel (name, imo) VALUES ('MV New', 9200001);
