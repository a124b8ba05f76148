-- family: maintenance
-- label: unsafe
-- harm: The next vessel gets number 1, which is taken.
-- rules: sequence-reset
-- base: freight
-- @pending
ALTER SEQUENCE vessel_vessel_id_seq RESTART;
