# ruff: noqa: E501  (a schema reads best with one object a line)
"""Every kind of object that a dump carries equals itself after a restore: no difference of the restore's own making."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import require
from test_versions import NEW_IN, blocking, filled

from pytest_dryrun.postgres import disposable
from pytest_dryrun.postgres.connection import connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.steps import proof
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

ROLES = """
DO $$ BEGIN CREATE ROLE "depot clerk" NOLOGIN; CREATE ROLE depot_owner NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
"""

# Options stand in the order in which nobody sorts them; what is NOT VALID or DISABLED stays so.
EVERYTHING = r"""
CREATE SCHEMA depot AUTHORIZATION depot_owner; CREATE SCHEMA "Odd ""one"; COMMENT ON SCHEMA depot IS 'goods';
CREATE COLLATION depot.bytes FROM "C"; CREATE COLLATION depot.posix (provider = libc, locale = 'C'); ALTER COLLATION depot.posix OWNER TO depot_owner;
CREATE TYPE depot.state AS ENUM ('new', 'old', 'gone'); ALTER TYPE depot.state ADD VALUE 'mended' BEFORE 'old'; ALTER TYPE depot.state RENAME VALUE 'gone' TO 'lost';
CREATE TYPE depot.size AS (w int, h numeric(6,2), label text COLLATE depot.bytes); ALTER TYPE depot.size ADD ATTRIBUTE d int, DROP ATTRIBUTE w;
CREATE TYPE depot.span AS RANGE (subtype = timestamptz, multirange_type_name = depot.spans); CREATE TYPE depot.words AS RANGE (subtype = text, collation = "C");
CREATE DOMAIN depot.weight AS numeric(8,3) DEFAULT 1 CONSTRAINT positive CHECK (VALUE > 0); ALTER DOMAIN depot.weight ADD CONSTRAINT light CHECK (VALUE < 1000) NOT VALID;
CREATE DOMAIN depot.heavy AS depot.weight NOT NULL; REVOKE USAGE ON TYPE depot.heavy FROM PUBLIC; GRANT USAGE ON DOMAIN depot.heavy TO "depot clerk";
CREATE TYPE depot.code;
CREATE FUNCTION depot.code_in(cstring) RETURNS depot.code LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION depot.code_out(depot.code) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE FUNCTION depot.code_recv(internal) RETURNS depot.code LANGUAGE internal IMMUTABLE STRICT AS 'int4recv';
CREATE FUNCTION depot.code_send(depot.code) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'int4send';
CREATE TYPE depot.code (INPUT = depot.code_in, OUTPUT = depot.code_out, RECEIVE = depot.code_recv, SEND = depot.code_send, INTERNALLENGTH = 4, PASSEDBYVALUE, ALIGNMENT = int4, CATEGORY = 'U', DELIMITER = ';', DEFAULT = '7');
CREATE FUNCTION depot.code_lt(depot.code, depot.code) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4lt';
CREATE FUNCTION depot.code_gt(depot.code, depot.code) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4gt';
CREATE FUNCTION depot.code_le(depot.code, depot.code) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4le';
CREATE FUNCTION depot.code_ge(depot.code, depot.code) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4ge';
CREATE FUNCTION depot.code_eq(depot.code, depot.code) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4eq';
CREATE FUNCTION depot.code_ne(depot.code, depot.code) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4ne';
CREATE FUNCTION depot.code_cmp(depot.code, depot.code) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'btint4cmp';
CREATE FUNCTION depot.code_hash(depot.code) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'hashint4';
CREATE OPERATOR depot.= (LEFTARG = depot.code, RIGHTARG = depot.code, FUNCTION = depot.code_eq, COMMUTATOR = OPERATOR(depot.=), NEGATOR = OPERATOR(depot.<>), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR depot.<> (LEFTARG = depot.code, RIGHTARG = depot.code, FUNCTION = depot.code_ne, COMMUTATOR = OPERATOR(depot.<>), NEGATOR = OPERATOR(depot.=));
CREATE OPERATOR depot.< (LEFTARG = depot.code, RIGHTARG = depot.code, FUNCTION = depot.code_lt, COMMUTATOR = OPERATOR(depot.>));
CREATE OPERATOR depot.> (LEFTARG = depot.code, RIGHTARG = depot.code, FUNCTION = depot.code_gt, COMMUTATOR = OPERATOR(depot.<));
CREATE OPERATOR depot.<= (LEFTARG = depot.code, RIGHTARG = depot.code, FUNCTION = depot.code_le);
CREATE OPERATOR depot.>= (LEFTARG = depot.code, RIGHTARG = depot.code, FUNCTION = depot.code_ge);
CREATE OPERATOR depot.!! (RIGHTARG = depot.code, FUNCTION = depot.code_send); ALTER OPERATOR depot.<= (depot.code, depot.code) OWNER TO depot_owner;
CREATE OPERATOR FAMILY depot.codes USING btree;
CREATE OPERATOR CLASS depot.code_ops DEFAULT FOR TYPE depot.code USING btree FAMILY depot.codes AS OPERATOR 1 depot.<, OPERATOR 2 depot.<=, OPERATOR 3 depot.=, OPERATOR 4 depot.>=, OPERATOR 5 depot.>, FUNCTION 1 depot.code_cmp(depot.code, depot.code);
CREATE OPERATOR CLASS depot.code_hash_ops DEFAULT FOR TYPE depot.code USING hash AS OPERATOR 1 depot.=, FUNCTION 1 depot.code_hash(depot.code);
CREATE CAST (depot.code AS int) WITHOUT FUNCTION; CREATE CAST (int AS depot.code) WITHOUT FUNCTION AS ASSIGNMENT; CREATE CAST (depot.size AS text) WITH INOUT AS IMPLICIT;
COMMENT ON OPERATOR CLASS depot.code_ops USING btree IS 'in order'; COMMENT ON CAST (depot.code AS int) IS 'as it is';
CREATE DEFAULT CONVERSION depot.narrow FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; COMMENT ON CONVERSION depot.narrow IS 'one byte';
CREATE FUNCTION depot.step(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 + coalesce($2, 0)';
CREATE FUNCTION depot.back(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 - coalesce($2, 0)';
CREATE FUNCTION depot.done(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE AGGREGATE depot.added(numeric) (SFUNC = depot.step, STYPE = numeric, SSPACE = 64, INITCOND = '0', FINALFUNC = depot.done, FINALFUNC_MODIFY = SHAREABLE, COMBINEFUNC = depot.step,
  MSFUNC = depot.step, MINVFUNC = depot.back, MSTYPE = numeric, MSSPACE = 32, MFINALFUNC = depot.done, MFINALFUNC_MODIFY = SHAREABLE, MINITCOND = '0', PARALLEL = SAFE);
CREATE AGGREGATE depot.least_of(numeric) (SFUNC = numeric_smaller, STYPE = numeric, SORTOP = <);
CREATE AGGREGATE depot.at(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE FUNCTION depot.many(VARIADIC a int[], OUT n int, OUT m text) RETURNS SETOF record LANGUAGE sql STABLE STRICT LEAKPROOF PARALLEL RESTRICTED COST 7 ROWS 9 SET search_path = depot, pg_temp SET work_mem = '2MB' AS 'SELECT 1, ''x''::text';
CREATE FUNCTION depot.listed(a int DEFAULT 3) RETURNS TABLE (n int) LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN QUERY SELECT a; END $$; ALTER FUNCTION depot.listed(int) OWNER TO depot_owner;
CREATE FUNCTION depot.whole(a int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT a + 1; SELECT a + 2; END;
CREATE PROCEDURE depot.tidy(IN a int, INOUT b text) LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$; GRANT EXECUTE ON PROCEDURE depot.tidy(int, text) TO "depot clerk" WITH GRANT OPTION;
CREATE FUNCTION depot.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'; CREATE FUNCTION depot.handler_inline(internal) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_inline_handler'; CREATE FUNCTION depot.validator(oid) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_validator';
CREATE LANGUAGE depotsql HANDLER depot.handler INLINE depot.handler_inline VALIDATOR depot.validator; COMMENT ON LANGUAGE depotsql IS 'another'; GRANT USAGE ON LANGUAGE plpgsql TO "depot clerk";
CREATE TRUSTED LANGUAGE depottrusted HANDLER depot.handler; REVOKE USAGE ON LANGUAGE depottrusted FROM PUBLIC;
CREATE TRANSFORM FOR depot.state LANGUAGE depotsql (FROM SQL WITH FUNCTION prsd_lextype(internal));
CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler; CREATE ACCESS METHOD tree_too TYPE INDEX HANDLER bthandler;
CREATE TEXT SEARCH DICTIONARY depot.short (TEMPLATE = simple, StopWords = english, Accept = false); CREATE TEXT SEARCH DICTIONARY depot.plain (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION depot.search (PARSER = "default"); ALTER TEXT SEARCH CONFIGURATION depot.search ADD MAPPING FOR asciiword, word WITH depot.short, simple;
CREATE TEXT SEARCH PARSER depot.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH TEMPLATE depot.template (INIT = dsimple_init, LEXIZE = dsimple_lexize); COMMENT ON TEXT SEARCH CONFIGURATION depot.search IS 'finds';
CREATE SEQUENCE depot.numbers AS smallint INCREMENT -3 MINVALUE -900 MAXVALUE 900 START 30 CACHE 5 CYCLE; SELECT nextval('depot.numbers');
CREATE SEQUENCE depot.untouched; CREATE UNLOGGED TABLE depot.quick (k int PRIMARY KEY);
CREATE TABLE depot.item (
  id bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME depot.item_numbers START 10 INCREMENT 10 CACHE 3), gone text, code depot.code, state depot.state NOT NULL DEFAULT 'new',
  name varchar(40) COLLATE depot.bytes NOT NULL, size depot.size, spans depot.spans, weight depot.heavy DEFAULT 2, tags text[] DEFAULT '{a,b}', body text, plain bytea, doc jsonb DEFAULT '{"a": 1}',
  double numeric GENERATED ALWAYS AS (weight * 2) STORED, due date DEFAULT current_date, number int DEFAULT nextval('depot.numbers'), serial_no serial, CONSTRAINT item_pk PRIMARY KEY (id) WITH (fillfactor = 70),
  CONSTRAINT item_code UNIQUE (code) DEFERRABLE INITIALLY DEFERRED, CONSTRAINT item_named CHECK (name <> '') NO INHERIT) WITH (toast.autovacuum_enabled = false, fillfactor = 60, autovacuum_vacuum_scale_factor = 0.2, parallel_workers = 2);
ALTER TABLE depot.item DROP COLUMN gone; ALTER TABLE depot.item OWNER TO depot_owner; ALTER SEQUENCE depot.numbers OWNER TO depot_owner; ALTER SEQUENCE depot.numbers OWNED BY depot.item.number;
ALTER TABLE depot.item ALTER body SET STORAGE EXTERNAL, ALTER plain SET STORAGE MAIN, ALTER doc SET COMPRESSION pglz, ALTER name SET STATISTICS 77, ALTER code SET (n_distinct_inherited = -0.5, n_distinct = 5), ALTER id SET STATISTICS 0;
ALTER TABLE depot.item ADD COLUMN late int NOT NULL DEFAULT 5, ADD COLUMN "sélect ""x" text, ADD CONSTRAINT item_late CHECK (late > 1) NOT VALID;
INSERT INTO depot.item (code, name, size, spans, body, plain) SELECT g, 'n' || g, ROW(g, 'l', 1)::depot.size, '{}', repeat('b', g * 100), '\x00ff' FROM generate_series(1, 30) g;
CREATE TABLE depot.item_part (item bigint REFERENCES depot.item ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE, part int, other bigint, FOREIGN KEY (other) REFERENCES depot.item MATCH FULL NOT VALID, EXCLUDE USING gist (int8range(item, other) WITH &&) WHERE (part > 0));
INSERT INTO depot.item_part SELECT id, 0, id FROM depot.item; ALTER TABLE depot.item_part DISABLE TRIGGER ALL; ALTER TABLE depot.item_part ENABLE TRIGGER ALL;
CREATE TABLE depot.base (a int, b text, CHECK (b <> '')); ALTER TABLE depot.base ADD CONSTRAINT base_a CHECK (a > 0) NOT VALID; INSERT INTO depot.base VALUES (1, 'x');
CREATE TABLE depot.child (c int) INHERITS (depot.base); CREATE TABLE depot.grandchild () INHERITS (depot.child); CREATE TABLE depot.second (a int, d int) INHERITS (depot.base); ALTER TABLE depot.child ALTER b SET DEFAULT 'c', ALTER a SET NOT NULL; INSERT INTO depot.child VALUES (3, 'y', 1);
CREATE TABLE depot.adopted (a int, b text, CONSTRAINT base_b_check CHECK (b <> ''), CONSTRAINT base_a CHECK (a > 0)); ALTER TABLE depot.adopted INHERIT depot.base;
CREATE TABLE depot.part (at date NOT NULL, k int NOT NULL, region text, note text DEFAULT 'p', item bigint REFERENCES depot.item, PRIMARY KEY (at, k, region), CHECK (k > 0)) PARTITION BY RANGE (at);
CREATE TABLE depot.part_a PARTITION OF depot.part (note DEFAULT 'a') FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (region);
CREATE TABLE depot.part_a_north PARTITION OF depot.part_a FOR VALUES IN ('n', NULL); CREATE TABLE depot.part_a_rest PARTITION OF depot.part_a DEFAULT WITH (fillfactor = 50);
CREATE TABLE depot.part_rest (junk int, note text, region text NOT NULL, k int NOT NULL, at date NOT NULL, item bigint, CONSTRAINT part_k_check CHECK (k > 0)); ALTER TABLE depot.part_rest DROP COLUMN junk; ALTER TABLE depot.part ATTACH PARTITION depot.part_rest DEFAULT;
ALTER TABLE depot.part ADD CONSTRAINT part_late CHECK (k < 1000) NOT VALID; CREATE TABLE depot.part_b PARTITION OF depot.part FOR VALUES FROM ('2026-01-01') TO (MAXVALUE); CREATE INDEX part_note ON depot.part (note); CREATE INDEX part_only ON ONLY depot.part (region);
CREATE TABLE depot.hashed (k int) PARTITION BY HASH (k); CREATE TABLE depot.hashed_0 PARTITION OF depot.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE depot.hashed_1 PARTITION OF depot.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO depot.part VALUES ('2025-03-03', 1, 'n', 'x', 10), ('2027-01-01', 2, 's', 'y', 20), ('2020-01-01', 3, 's', 'z', NULL); INSERT INTO depot.hashed SELECT generate_series(1, 9);
CREATE INDEX item_expr ON depot.item (lower(name) COLLATE "C" text_pattern_ops DESC NULLS LAST, (late + 1)) INCLUDE (state) WITH (fillfactor = 80, deduplicate_items = off) WHERE late > 0; ALTER INDEX depot.item_expr ALTER COLUMN 2 SET STATISTICS 90;
CREATE INDEX item_tags ON depot.item USING gin (tags) WITH (fastupdate = off); CREATE INDEX item_due ON depot.item USING brin (due) WITH (pages_per_range = 8, autosummarize = on); CREATE INDEX item_hash ON depot.item USING hash (name); CREATE UNIQUE INDEX item_serial ON depot.item (serial_no);
CLUSTER depot.item USING item_pk; ALTER TABLE depot.item REPLICA IDENTITY USING INDEX item_pk; ALTER TABLE depot.base REPLICA IDENTITY FULL; ALTER TABLE depot.child REPLICA IDENTITY NOTHING; COMMENT ON INDEX depot.item_expr IS 'an expression';
CREATE STATISTICS depot.together (ndistinct, mcv) ON state, late FROM depot.item; CREATE STATISTICS depot.computed ON (late % 3), state FROM depot.item; ALTER STATISTICS depot.together SET STATISTICS 40; ALTER STATISTICS depot.together OWNER TO depot_owner;
CREATE VIEW depot.light WITH (check_option = cascaded, security_barrier = true) AS SELECT id, name, weight FROM depot.item WHERE weight < 10; ALTER VIEW depot.light ALTER name SET DEFAULT 'unnamed'; CREATE RECURSIVE VIEW depot.counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 3;
GRANT UPDATE (name) ON depot.light TO "depot clerk"; COMMENT ON COLUMN depot.light.name IS 'of the light'; CREATE VIEW depot.on_view AS SELECT * FROM depot.light; ALTER VIEW depot.on_view OWNER TO depot_owner;
CREATE MATERIALIZED VIEW depot.totals WITH (autovacuum_enabled = off, fillfactor = 90) AS SELECT state, sum(weight) AS w FROM depot.item GROUP BY state; CREATE UNIQUE INDEX ON depot.totals (state); ALTER MATERIALIZED VIEW depot.totals ALTER COLUMN w SET STATISTICS 30; CREATE MATERIALIZED VIEW depot.empty AS SELECT 1 AS one WITH NO DATA;
CREATE FUNCTION depot.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER before_name BEFORE UPDATE OF name, late ON depot.item FOR EACH ROW WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION depot.fired('a', 'b');
CREATE TRIGGER after_all AFTER INSERT ON depot.item REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION depot.fired(); CREATE TRIGGER emptied AFTER TRUNCATE ON depot.item EXECUTE FUNCTION depot.fired();
CREATE CONSTRAINT TRIGGER checked AFTER INSERT OR UPDATE ON depot.item FROM depot.base DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION depot.fired(); CREATE TRIGGER instead INSTEAD OF INSERT ON depot.light FOR EACH ROW EXECUTE FUNCTION depot.fired();
CREATE TRIGGER on_parts AFTER INSERT ON depot.part FOR EACH ROW EXECUTE FUNCTION depot.fired(); ALTER TABLE depot.item DISABLE TRIGGER before_name; ALTER TABLE depot.item ENABLE ALWAYS TRIGGER after_all; ALTER TABLE depot.item ENABLE REPLICA TRIGGER emptied; COMMENT ON TRIGGER checked ON depot.item IS 'late';
CREATE RULE noted AS ON INSERT TO depot.quick DO ALSO NOTIFY depot; CREATE RULE kept AS ON DELETE TO depot.quick WHERE OLD.k > 5 DO INSTEAD NOTHING; ALTER TABLE depot.quick DISABLE RULE kept; COMMENT ON RULE noted ON depot.quick IS 'says so';
ALTER TABLE depot.item ENABLE ROW LEVEL SECURITY; ALTER TABLE depot.base ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY mine ON depot.item USING (late > 0); CREATE POLICY theirs ON depot.item AS RESTRICTIVE FOR INSERT TO "depot clerk", depot_owner WITH CHECK (name <> 'x'); COMMENT ON POLICY mine ON depot.item IS 'mine';
CREATE FUNCTION depot.watching() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$; CREATE EVENT TRIGGER depot_drops ON sql_drop WHEN TAG IN ('DROP TABLE', 'ALTER TABLE') EXECUTE FUNCTION depot.watching(); CREATE EVENT TRIGGER depot_starts ON ddl_command_start EXECUTE FUNCTION depot.watching(); ALTER EVENT TRIGGER depot_starts DISABLE; CREATE EVENT TRIGGER depot_rewrites ON table_rewrite EXECUTE FUNCTION depot.watching(); ALTER EVENT TRIGGER depot_rewrites ENABLE REPLICA;
CREATE FOREIGN DATA WRAPPER depot_files OPTIONS (zeta 'z', alpha 'a'); ALTER FOREIGN DATA WRAPPER depot_files OWNER TO postgres; GRANT USAGE ON FOREIGN DATA WRAPPER depot_files TO "depot clerk";
CREATE SERVER depot_far TYPE 'far' VERSION '2' FOREIGN DATA WRAPPER depot_files OPTIONS (port '1', host 'h', dbname 'd'); GRANT USAGE ON FOREIGN SERVER depot_far TO "depot clerk"; CREATE USER MAPPING FOR PUBLIC SERVER depot_far OPTIONS ("user" 'u', password 'p', alpha 'a'); CREATE USER MAPPING FOR "depot clerk" SERVER depot_far; COMMENT ON SERVER depot_far IS 'far';
CREATE FOREIGN TABLE depot.away (a int OPTIONS (name 'x', kind 'y') NOT NULL, b text DEFAULT 'b' COLLATE "C", CHECK (a > 0)) SERVER depot_far OPTIONS (table_name 't', schema_name 's', fetch '9');
CREATE TABLE depot.mixed (k int) PARTITION BY LIST (k); CREATE FOREIGN TABLE depot.away_part PARTITION OF depot.mixed FOR VALUES IN (1) SERVER depot_far OPTIONS (z '1', a '2'); CREATE TABLE depot.here_part PARTITION OF depot.mixed FOR VALUES IN (2); INSERT INTO depot.mixed VALUES (2);
CREATE PUBLICATION depot_some FOR TABLE depot.item, ONLY depot.base, depot.part WITH (publish = 'truncate, insert', publish_via_partition_root = true); CREATE PUBLICATION depot_all FOR ALL TABLES; CREATE PUBLICATION depot_none; ALTER PUBLICATION depot_some OWNER TO postgres; COMMENT ON PUBLICATION depot_some IS 'some';
GRANT SELECT, UPDATE ON depot.item TO "depot clerk" WITH GRANT OPTION; GRANT INSERT (name, late), REFERENCES (id) ON depot.item TO PUBLIC; REVOKE ALL ON depot.base FROM CURRENT_USER; GRANT USAGE, CREATE ON SCHEMA depot TO "depot clerk"; GRANT USAGE, UPDATE ON SEQUENCE depot.numbers TO "depot clerk"; REVOKE EXECUTE ON FUNCTION depot.whole(int) FROM PUBLIC; REVOKE USAGE ON TYPE depot.state FROM PUBLIC; GRANT TRIGGER ON depot.quick TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE depot_owner IN SCHEMA depot GRANT SELECT, TRIGGER ON TABLES TO "depot clerk"; ALTER DEFAULT PRIVILEGES FOR ROLE depot_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO PUBLIC; ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC; ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO "depot clerk";
SELECT lo_from_bytea(4711, '\x0102'), lo_create(4712); COMMENT ON LARGE OBJECT 4711 IS 'large'; GRANT SELECT ON LARGE OBJECT 4711 TO "depot clerk"; ALTER LARGE OBJECT 4712 OWNER TO depot_owner;
COMMENT ON TABLE depot.item IS 'items; ''quoted'''; COMMENT ON COLUMN depot.item.late IS E'two\nlines'; COMMENT ON CONSTRAINT item_named ON depot.item IS 'named'; COMMENT ON TYPE depot.state IS 'state'; COMMENT ON DOMAIN depot.weight IS 'kg'; COMMENT ON FUNCTION depot.whole(int) IS 'f'; COMMENT ON AGGREGATE depot.added(numeric) IS 'sum'; COMMENT ON SEQUENCE depot.numbers IS 's'; COMMENT ON VIEW depot.light IS 'v'; COMMENT ON MATERIALIZED VIEW depot.totals IS 'm'; COMMENT ON STATISTICS depot.together IS 'st'; COMMENT ON COLLATION depot.bytes IS 'c'; COMMENT ON EVENT TRIGGER depot_drops IS 'e'; COMMENT ON OPERATOR depot.< (depot.code, depot.code) IS 'lt'; COMMENT ON EXTENSION plpgsql IS 'own words';
"""

WITHOUT_EXTENSIONS = """
CREATE TABLE depot.typed OF depot.size (PRIMARY KEY (h)); CREATE TABLE depot.like_item (LIKE depot.item INCLUDING ALL); CREATE TABLE depot.nothing ();
CREATE TABLE depot.two_keys (a int, b int, PRIMARY KEY (b, a), UNIQUE (a) INCLUDE (b)); CREATE TABLE depot.refers (x int, y int, FOREIGN KEY (y, x) REFERENCES depot.two_keys (b, a) ON DELETE SET DEFAULT);
CREATE TABLE depot.own_method (a int, b text) USING heap_too; CREATE INDEX own_index ON depot.own_method USING btree (a);
"""

EXTENDED = """
CREATE SCHEMA extra; CREATE EXTENSION hstore SCHEMA extra; CREATE EXTENSION citext SCHEMA extra; CREATE EXTENSION pg_trgm SCHEMA extra; CREATE EXTENSION postgres_fdw; CREATE EXTENSION btree_gist SCHEMA extra; COMMENT ON EXTENSION hstore IS 'pairs';
CREATE TABLE extra.labels (name extra.citext PRIMARY KEY, pairs extra.hstore, span int4range, kind int, EXCLUDE USING gist (kind WITH =, span WITH &&)); CREATE INDEX ON extra.labels USING gin (name extra.gin_trgm_ops); INSERT INTO extra.labels VALUES ('A', 'a=>1', '[1,2)', 1);
CREATE SERVER shelf FOREIGN DATA WRAPPER postgres_fdw OPTIONS (port '5432', host 'shelf.example', dbname 'shelf'); CREATE USER MAPPING FOR PUBLIC SERVER shelf OPTIONS (user 'r', password 'planted-secret');
"""


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Open a workspace for the servers of one test."""
    made = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    yield made
    made.close()


def programs(version: str) -> str:
    """Where the programs of a version are, empty for the machine's own; skips by name where they are not."""
    if version == "own":
        return ""
    found = Path(os.environ.get("DRYRUN_TEST_POSTGRES", "/nowhere")) / version / "bin"
    require((found / "postgres").is_file(), f"PostgreSQL {version} is not there (tests/stand/other-postgres.sh)")
    return str(found)


def has_contrib(server: Disposable) -> bool:
    """Whether the server can make the extensions of `EXTENDED`."""
    wanted = ["hstore", "citext", "pg_trgm", "postgres_fdw", "btree_gist"]
    with connect(server.conninfo) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_available_extensions WHERE name = ANY (%s)", (wanted,)
        ).fetchone() == (len(wanted),)


@pytest.mark.parametrize("version", ["own", "14", "16", "17", "18"])
def test_every_kind_of_object_equals_itself_after_a_restore(workspace, tmp_path, version):
    """Our own backup, restored on the same version, shows no difference in schema or rows, by any reading."""
    server = disposable.start("binaries", workspace=workspace, bindir=programs(version))
    try:
        major = server.version_num // 10000
        newer = [text for since, text in NEW_IN.items() if since <= major]
        database = filled(
            server,
            ROLES,
            EVERYTHING,
            WITHOUT_EXTENSIONS,
            *([EXTENDED] if has_contrib(server) else []),
            *(text.replace("course (id, owner) WHERE (id > 5)", "one_null (a) WHERE (a > 5)") for text in newer),
        )
        taken = proof.take(database, proof.here(database, tmp_path, "everything.dump", 60), timeout_s=60)
        restored = proof.restore(server, taken, "restored", timeout_s=60)

        assert [] == blocking(restored.findings)
        assert {"depot.item": 30, "depot.child": 1}.items() <= {
            table.table: table.rows for table in restored.prints.tables
        }.items()
    finally:
        server.stop()
