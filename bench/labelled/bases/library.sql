-- A school library: titles, copies on shelves of several branches, and what pupils have borrowed.
-- @schema
CREATE TABLE branch (branch_id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE title (
    isbn text PRIMARY KEY,
    name text NOT NULL,
    author text NOT NULL,
    published smallint,
    subjects text[] NOT NULL DEFAULT '{}'
);
CREATE TABLE copy (
    copy_id serial PRIMARY KEY,
    isbn text NOT NULL REFERENCES title,
    branch_id int NOT NULL REFERENCES branch,
    shelf text,
    condition text NOT NULL DEFAULT 'good',
    acquired date,
    barcode text
);
CREATE INDEX copy_isbn_idx ON copy (isbn);
CREATE INDEX copy_branch_idx ON copy (branch_id);
CREATE TABLE pupil (
    pupil_id serial PRIMARY KEY,
    card_no varchar(12) NOT NULL UNIQUE,
    given_name text,
    family_name text NOT NULL,
    class_name text,
    deleted_at timestamptz,
    settings jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE loan (
    loan_id serial PRIMARY KEY,
    copy_id int NOT NULL REFERENCES copy,
    pupil_id int NOT NULL REFERENCES pupil,
    lent_on date NOT NULL DEFAULT CURRENT_DATE,
    due_on date NOT NULL,
    returned_on date,
    fine_cents int NOT NULL DEFAULT 0
);
CREATE INDEX loan_copy_idx ON loan (copy_id);
CREATE INDEX loan_pupil_idx ON loan (pupil_id);
CREATE TABLE loan_event (event_id bigserial PRIMARY KEY, loan_id int NOT NULL, kind text NOT NULL, at timestamptz);
CREATE TABLE housekeeping (run_on date PRIMARY KEY, keep_from timestamptz NOT NULL);
CREATE TABLE media (media_id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE audiobook (narrator text, PRIMARY KEY (media_id)) INHERITS (media);
CREATE SEQUENCE card_number START 5000 MAXVALUE 9999;
CREATE VIEW overdue AS SELECT loan_id, pupil_id, due_on FROM loan WHERE returned_on IS NULL;
CREATE FUNCTION keep_house() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM loan_event WHERE at < NEW.keep_from;
    RETURN NEW;
END $$;
CREATE TRIGGER house_kept AFTER INSERT ON housekeeping FOR EACH ROW EXECUTE FUNCTION keep_house();
-- @seed
INSERT INTO branch VALUES (1, 'Main school'), (2, 'Hill school'), (3, 'Harbour school');
INSERT INTO title
SELECT '978-' || lpad(g::text, 9, '0'), 'Title ' || g, 'Author ' || g % 70, 1950 + g % 70,
    ARRAY['subject ' || g % 12, 'age ' || g % 18]
FROM generate_series(1, 200) g;
INSERT INTO copy (isbn, branch_id, shelf, condition, acquired)
SELECT '978-' || lpad((1 + g % 200)::text, 9, '0'), 1 + g % 3, chr(65 + g % 8) || g % 40,
    (ARRAY['good', 'worn', 'new'])[1 + g % 3], date '2019-08-01' + g
FROM generate_series(1, 500) g;
INSERT INTO pupil (card_no, given_name, family_name, class_name, deleted_at, settings)
SELECT 'C' || lpad(g::text, 6, '0'), 'Given ' || g, 'Family ' || g % 90, g % 9 + 1 || 'b',
    CASE WHEN g % 20 = 0 THEN timestamptz '2025-06-15 12:00+00' END, jsonb_build_object('mail', g % 2 = 0)
FROM generate_series(1, 260) g;
INSERT INTO loan (copy_id, pupil_id, lent_on, due_on, returned_on, fine_cents)
SELECT 1 + g % 500, 1 + g % 260, date '2025-01-10' + g % 300, date '2025-01-31' + g % 300,
    CASE WHEN g % 3 <> 0 THEN date '2025-01-24' + g % 300 END, g % 11 * 25
FROM generate_series(1, 1200) g;
INSERT INTO loan_event (loan_id, kind, at)
SELECT 1 + g % 1200, (ARRAY['lent', 'reminded', 'returned'])[1 + g % 3], timestamptz '2024-09-01 09:00+00' + g * interval '9 hours'
FROM generate_series(1, 1000) g;
INSERT INTO media SELECT g, 'Film ' || g FROM generate_series(1, 30) g;
INSERT INTO audiobook SELECT 100 + g, 'Recording ' || g, 'Narrator ' || g % 5 FROM generate_series(1, 60) g;
ANALYZE;
