-- family: indexes
-- label: safe
-- why: Each partition is indexed beside the work; the parent's index only ties them together.
-- base: freight
-- scale: 400
-- transaction: no
-- @pending
CREATE INDEX tracking_port_idx ON ONLY tracking (port_code);
CREATE INDEX CONCURRENTLY tracking_2024_port ON tracking_2024 (port_code);
CREATE INDEX CONCURRENTLY tracking_2025_port ON tracking_2025 (port_code);
CREATE INDEX CONCURRENTLY tracking_rest_port ON tracking_rest (port_code);
ALTER INDEX tracking_port_idx ATTACH PARTITION tracking_2024_port;
ALTER INDEX tracking_port_idx ATTACH PARTITION tracking_2025_port;
ALTER INDEX tracking_port_idx ATTACH PARTITION tracking_rest_port;
-- @calm
INSERT INTO tracking VALUES (9000, '2025-12-01 00:00+00', 4, 'P0003', 'seen');
