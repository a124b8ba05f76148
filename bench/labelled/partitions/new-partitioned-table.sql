-- family: partitions
-- label: safe
-- why: New tables only.
-- base: clinic
-- @pending
CREATE TABLE vital_sign (patient_id bigint NOT NULL, taken_at timestamptz NOT NULL, pulse int) PARTITION BY RANGE (taken_at);
CREATE TABLE vital_sign_2026 PARTITION OF vital_sign FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');
CREATE TABLE vital_sign_rest PARTITION OF vital_sign DEFAULT;
CREATE INDEX vital_sign_patient_idx ON vital_sign (patient_id);
