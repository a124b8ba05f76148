-- A freight forwarder: consignments in containers, tracked from port to port, declared to customs.
-- @schema
CREATE SCHEMA customs;
CREATE TABLE port (code char(5) PRIMARY KEY, name text NOT NULL, country char(2) NOT NULL);
CREATE TABLE vessel (vessel_id serial PRIMARY KEY, name text NOT NULL, imo int UNIQUE, flag char(2));
CREATE TABLE consignment (
    consignment_id bigserial PRIMARY KEY,
    reference varchar(40) NOT NULL,
    origin char(5) NOT NULL REFERENCES port,
    destination char(5) NOT NULL REFERENCES port,
    vessel_id int REFERENCES vessel ON DELETE SET NULL,
    weight_kg int NOT NULL,
    declared_value numeric(12, 2) NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'draft',
    booked_at timestamp NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX consignment_reference_key ON consignment (reference);
CREATE INDEX consignment_vessel_idx ON consignment (vessel_id);
CREATE TABLE container (
    container_id serial PRIMARY KEY,
    consignment_id bigint NOT NULL REFERENCES consignment,
    number varchar(11) NOT NULL,
    seal text,
    tare_kg int,
    CONSTRAINT container_tare_positive CHECK (tare_kg > 0)
);
CREATE INDEX container_consignment_idx ON container (consignment_id);
CREATE TABLE tracking (
    tracking_id bigint NOT NULL,
    tracked_at timestamptz NOT NULL,
    container_id int NOT NULL,
    port_code char(5),
    note text,
    PRIMARY KEY (tracking_id, tracked_at)
) PARTITION BY RANGE (tracked_at);
CREATE TABLE tracking_2024 PARTITION OF tracking FOR VALUES FROM ('2024-01-01 00:00+00') TO ('2025-01-01 00:00+00');
CREATE TABLE tracking_2025 PARTITION OF tracking FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2026-01-01 00:00+00');
CREATE TABLE tracking_rest PARTITION OF tracking DEFAULT;
CREATE TABLE quote (
    quote_id bigint NOT NULL,
    region text NOT NULL,
    amount numeric(10, 2) NOT NULL,
    valid_until date,
    PRIMARY KEY (quote_id, region)
) PARTITION BY LIST (region);
CREATE TABLE quote_north PARTITION OF quote FOR VALUES IN ('north');
CREATE TABLE quote_south PARTITION OF quote FOR VALUES IN ('south');
CREATE TABLE quote_overseas (
    quote_id bigint NOT NULL,
    region text NOT NULL,
    amount numeric(10, 2) NOT NULL,
    valid_until date,
    PRIMARY KEY (quote_id, region)
);
CREATE TABLE customs.declaration (
    declaration_id serial PRIMARY KEY,
    consignment_id bigint NOT NULL REFERENCES consignment,
    filed_on date,
    broker text,
    cleared boolean NOT NULL DEFAULT false
);
CREATE INDEX declaration_consignment_idx ON customs.declaration (consignment_id);
CREATE TABLE customs.tariff (code text PRIMARY KEY, duty_percent numeric(5, 2) NOT NULL, note text);
CREATE VIEW vessel_manifest AS
    SELECT v.name AS vessel, c.reference, c.weight_kg FROM vessel v JOIN consignment c USING (vessel_id);
CREATE MATERIALIZED VIEW consignment_weight AS
    SELECT c.consignment_id, c.destination, c.weight_kg, count(k.container_id) AS containers
    FROM consignment c LEFT JOIN container k USING (consignment_id) GROUP BY 1, 2, 3;
CREATE UNIQUE INDEX consignment_weight_key ON consignment_weight (consignment_id);
CREATE FUNCTION forget_tracking(before timestamptz) RETURNS void LANGUAGE sql AS
    $$ DELETE FROM tracking WHERE tracked_at < before $$;
-- @seed
INSERT INTO port SELECT 'P' || lpad(g::text, 4, '0'), 'Port ' || g, (ARRAY['SE', 'PL', 'NL', 'MY'])[1 + g % 4]
FROM generate_series(1, 25) g;
INSERT INTO vessel (name, imo, flag)
SELECT 'MV ' || g, 9100000 + g, (ARRAY['SE', 'PA', 'LR'])[1 + g % 3] FROM generate_series(1, 30) g;
INSERT INTO consignment (reference, origin, destination, vessel_id, weight_kg, declared_value, status, booked_at)
SELECT
    'CN-' || 10000 + g, 'P' || lpad((1 + g % 25)::text, 4, '0'), 'P' || lpad((1 + (g + 7) % 25)::text, 4, '0'),
    CASE WHEN g % 6 <> 0 THEN 1 + g % 30 END, 500 + g * 3, g * 12.5,
    (ARRAY['draft', 'booked', 'at sea', 'delivered'])[1 + g % 4], timestamp '2025-03-01 06:00' + g * interval '2 hours'
FROM generate_series(1, 700) g;
INSERT INTO container (consignment_id, number, seal, tare_kg)
SELECT 1 + g % 700, 'MSCU' || lpad(g::text, 7, '0'), CASE WHEN g % 4 <> 0 THEN 'S' || g END, 2000 + g % 300
FROM generate_series(1, 1000) g;
INSERT INTO tracking
SELECT g, timestamptz '2024-01-02 00:00+00' + g * interval '16 hours', 1 + g % 1000,
    'P' || lpad((1 + g % 25)::text, 4, '0'), 'seen ' || g
FROM generate_series(1, 1300) g;
INSERT INTO quote SELECT g, CASE WHEN g % 2 = 0 THEN 'north' ELSE 'south' END, g * 1.1, date '2026-01-01' + g
FROM generate_series(1, 400) g;
INSERT INTO quote_overseas SELECT 1000 + g, 'overseas', g * 2.2, date '2026-01-01' + g FROM generate_series(1, 120) g;
INSERT INTO customs.declaration (consignment_id, filed_on, broker, cleared)
SELECT g, date '2025-03-02' + g % 200, 'broker ' || g % 9, g % 2 = 0 FROM generate_series(1, 500) g;
INSERT INTO customs.tariff SELECT 'HS' || g, g % 20 + 0.5, NULL FROM generate_series(1, 80) g;
REFRESH MATERIALIZED VIEW consignment_weight;
ANALYZE;
