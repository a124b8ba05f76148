# ruff: noqa: E501  (one case, one line)
"""The catalog ledger on a real server: what nothing else lists or reports is reported, ordinary work is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from catalog_stage import CatalogStage, staged
from psycopg import sql
from test_catalog_restore import RICH

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog.claims import Claims, claims
from pytest_dryrun.postgres.catalog.cluster import read_cluster
from pytest_dryrun.postgres.catalog.rows import differing_rows
from pytest_dryrun.postgres.connection import Conninfo

pytestmark = pytest.mark.live

B, W, KNOWN = Severity.BLOCKER, Severity.WARNING, Severity.INFO

MORE = """
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'librarian') THEN
  CREATE ROLE librarian LOGIN PASSWORD 'planted-first'; CREATE ROLE lenders; END IF; END $$;
GRANT lenders TO librarian; GRANT SELECT ON "User" TO librarian; GRANT SELECT ON course TO lenders;
CREATE EXTENSION citext; CREATE EXTENSION pg_trgm;
SELECT lo_create(4242);
CREATE TABLE shelf (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE shelf_1 PARTITION OF shelf FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE shelf_2 PARTITION OF shelf FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
CREATE TRIGGER shelf_guard BEFORE INSERT ON shelf FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE place (id int PRIMARY KEY, no int CONSTRAINT place_no UNIQUE DEFERRABLE);
CREATE AGGREGATE running(int) (SFUNC = int4pl, STYPE = int, MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = int);
CREATE OPERATOR FAMILY mixed USING btree; ALTER OPERATOR FAMILY mixed USING btree ADD OPERATOR 1 < (int4, int8), FUNCTION 1 (int4, int8) btint48cmp(int4, int8);
CREATE TYPE coin; CREATE FUNCTION coin_in(cstring) RETURNS coin LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION coin_out(coin) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE FUNCTION coin_send(coin) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'int4send';
CREATE TYPE coin (INPUT = coin_in, OUTPUT = coin_out, SEND = coin_send, LIKE = int4);
CREATE CONVERSION latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
COMMENT ON ROLE librarian IS 'lends';
CREATE FOREIGN DATA WRAPPER checked_one VALIDATOR postgresql_fdw_validator;
CREATE TABLE plain (a int, b text);
"""


@pytest.fixture(scope="module")
def stage(postgres: Conninfo) -> Iterator[CatalogStage]:
    """A rich database and its copy."""
    with staged(postgres, RICH + MORE) as made:
        yield made


def short(findings: tuple[Finding, ...]) -> set[tuple[str, Severity]]:
    """Rule and severity of each finding."""
    return {(item.rule, item.severity) for item in findings}


OWN_DATABASE = "DO $$ BEGIN EXECUTE format('{}', current_database()); END $$;"

# What is done, by which rule and how severely it is told, and words that stand in the message.
TOLD = {
    "built-in table": ("GRANT SELECT ON pg_catalog.pg_authid TO PUBLIC", "privileges-changed", W, "PUBLIC gets SELECT on table pg_catalog.pg_authid"),
    "built-in function replaced": ("CREATE OR REPLACE FUNCTION pg_catalog.initcap(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'", "object-changed", W, "LANGUAGE: internal -> sql"),
    "new in pg_catalog": ("SET LOCAL allow_system_table_mods = on; CREATE FUNCTION pg_catalog.sneaky() RETURNS int LANGUAGE sql AS 'SELECT 1'", "object-changed", W, "Function pg_catalog.sneaky() is new"),
    "comment on a built-in": ("COMMENT ON FUNCTION pg_catalog.lower(text) IS 'x'", "object-changed", W, "omment on function pg_catalog.lower"),
    "extension's function": ("ALTER FUNCTION citext_hash(citext) SECURITY DEFINER", "object-changed", W, "SECURITY DEFINER: false -> true"),
    "rights on an extension's function": ("GRANT EXECUTE ON FUNCTION citext_hash(citext) TO librarian", "privileges-changed", W, "Role librarian gets EXECUTE on function public.citext_hash"),
    "extension's operator family": ("ALTER OPERATOR FAMILY citext_ops USING btree ADD OPERATOR 1 < (text, text)", "object-changed", W, "is new"),
    "operator of a family": ("ALTER OPERATOR FAMILY mixed USING btree DROP OPERATOR 1 (int4, int8)", "object-changed", W, "Operator 1 (integer, bigint) of public.mixed USING btree is gone"),
    "function of a family": ("ALTER OPERATOR FAMILY mixed USING btree DROP FUNCTION 1 (int4, int8)", "object-changed", W, "of public.mixed USING btree is gone"),
    "family's owner": ("ALTER OPERATOR FAMILY mixed USING btree OWNER TO librarian", "object-changed", W, "owner: postgres -> librarian"),
    "moving part of an aggregate": ("CREATE OR REPLACE AGGREGATE running(int) (SFUNC = int4pl, STYPE = int, MSFUNC = int4pl, MINVFUNC = int4mul, MSTYPE = int)", "object-changed", W, "MINVFUNC: pg_catalog.int4mi(integer,integer) -> pg_catalog.int4mul(integer,integer)"),
    "aggregate made again": ("DROP AGGREGATE running(int); CREATE AGGREGATE running(int) (SFUNC = int4pl, STYPE = int, MSFUNC = int4pl, MINVFUNC = int4mul, MSTYPE = int)", "object-changed", W, "MINVFUNC"),
    "family made again without its members": ("DROP OPERATOR FAMILY mixed USING btree; CREATE OPERATOR FAMILY mixed USING btree", "object-changed", W, "of public.mixed USING btree"),
    "conversion made again": ("DROP CONVERSION latin; CREATE DEFAULT CONVERSION latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8", "object-changed", W, "DEFAULT: false -> true"),
    "conversion's owner": ("ALTER CONVERSION latin OWNER TO librarian", "object-changed", W, "owner: postgres -> librarian"),
    "large object's rights": ("GRANT UPDATE ON LARGE OBJECT 4242 TO PUBLIC", "privileges-changed", W, "PUBLIC gets UPDATE on large object 4242"),
    "large object's owner": ("ALTER LARGE OBJECT 4242 OWNER TO librarian", "object-changed", W, "Large object 4242: owner"),
    "type's function": ("ALTER TYPE coin SET (SEND = NONE)", "object-changed", W, "SEND: public.coin_send(public.coin) -> none"),
    "shell type": ("CREATE TYPE nothing_yet", "object-changed", W, "Type public.nothing_yet is new"),
    "multirange": ("ALTER TYPE floats_multirange RENAME TO many_floats", "object-changed", W, "name: floats_multirange -> many_floats"),
    "rights on a row type": ("REVOKE USAGE ON TYPE course FROM PUBLIC", "privileges-changed", W, "PUBLIC loses USAGE on type public.course"),
    "rights on a language": ("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC", "privileges-changed", W, "PUBLIC loses USAGE on language plpgsql"),
    "language's owner": ("ALTER LANGUAGE plpgsql OWNER TO librarian", "object-changed", W, "owner: postgres -> librarian"),
    "tie to an extension": ("ALTER INDEX course_owner_idx DEPENDS ON EXTENSION citext", "object-changed", W, "DEPENDS ON EXTENSION is new (extension citext)"),
    "wrapper's function": ("ALTER FOREIGN DATA WRAPPER checked_one NO VALIDATOR", "object-changed", W, "VALIDATOR: pg_catalog.postgresql_fdw_validator"),
    "materialized view's column beside its owner": ("ALTER MATERIALIZED VIEW counted OWNER TO librarian; ALTER MATERIALIZED VIEW counted ALTER n SET STATISTICS 7", "object-changed", W, "SET STATISTICS"),
    "materialized view's column": ("ALTER MATERIALIZED VIEW counted ALTER n SET (n_distinct = 9)", "object-changed", W, "none -> {n_distinct=9}"),
    "trigger of one partition": ("ALTER TABLE shelf_1 DISABLE TRIGGER shelf_guard", "trigger-disabled", W, "Trigger shelf_guard on public.shelf_1 was enabled and is disabled"),
    "trigger for replicas": ("ALTER TABLE shelf ENABLE REPLICA TRIGGER shelf_guard", "trigger-disabled", W, "Trigger shelf_guard on public.shelf"),
    "trigger of a deferrable key": ("ALTER TABLE place DISABLE TRIGGER ALL", "trigger-disabled", W, "Trigger of a constraint on public.place"),
    "rule": ("ALTER TABLE scratch DISABLE RULE quiet", "trigger-disabled", W, "Rule quiet on public.scratch"),
    "event trigger": ("ALTER EVENT TRIGGER watching DISABLE", "trigger-disabled", W, "Event trigger watching was enabled and is disabled"),
    "rights taken from a role": ('REVOKE SELECT ON "User" FROM librarian', "privileges-changed", W, 'Role librarian loses SELECT on table public."User"'),
    "view made again without its rights": ('GRANT SELECT ON "User" TO librarian; DROP VIEW people; CREATE VIEW people AS SELECT u.id, u.email FROM "User" u', "privileges-changed", W, "PUBLIC loses SELECT on view public.people"),
    "database read-only": (OWN_DATABASE.format("ALTER DATABASE %I SET default_transaction_read_only = on"), "settings-changed", B, "setting default_transaction_read_only was not given and is 'on'"),
    "database's timeout": (OWN_DATABASE.format("ALTER DATABASE %I SET statement_timeout = ''1ms''"), "settings-changed", B, "statement_timeout"),
    "database's connections": (OWN_DATABASE.format("ALTER DATABASE %I CONNECTION LIMIT 1"), "settings-changed", B, "its connection limit was any number and is 1"),
    "who may connect": (OWN_DATABASE.format("REVOKE CONNECT ON DATABASE %I FROM PUBLIC"), "settings-changed", B, "PUBLIC loses CONNECT"),
    "database's owner": (OWN_DATABASE.format("ALTER DATABASE %I OWNER TO librarian"), "settings-changed", W, "owner was postgres and is librarian"),
    "role's settings": ("ALTER ROLE librarian SET search_path = nowhere", "settings-changed", B, "Role librarian: setting search_path"),
    "memory": ("ALTER ROLE librarian SET work_mem = '64MB'", "settings-changed", W, "setting work_mem"),
    "login": ("ALTER ROLE librarian NOLOGIN", "settings-changed", B, "it may log in no longer"),
    "password": ("ALTER ROLE librarian PASSWORD 'planted-second'", "settings-changed", B, "its password is another one"),
    "end of a password": ("ALTER ROLE librarian VALID UNTIL '2020-01-01'", "settings-changed", B, "is until 2020-01-01"),
    "connections of a role": ("ALTER ROLE librarian CONNECTION LIMIT 0", "settings-changed", B, "its connection limit was any number and is 0"),
    "policies passed by": ("ALTER ROLE librarian BYPASSRLS", "privileges-changed", W, "it sees rows that policies hide now"),
    "role's name": ("ALTER ROLE lenders RENAME TO borrowers", "settings-changed", B, "name was lenders and is borrowers"),
    "membership lost": ("REVOKE lenders FROM librarian", "privileges-changed", W, "it no longer belongs to lenders"),
    "membership gained": ("GRANT pg_read_all_data TO librarian", "privileges-changed", W, "it belongs to pg_read_all_data now"),
    "new superuser": ("CREATE ROLE chief SUPERUSER", "privileges-changed", W, "it is new and is a superuser"),
    "switched off in the catalog": ("SET LOCAL allow_system_table_mods = on; UPDATE pg_catalog.pg_trigger SET tgenabled = 'D' WHERE tgisinternal", "trigger-disabled", W, "Trigger of a constraint"),
    "dependencies taken out": ("SET LOCAL allow_system_table_mods = on; DELETE FROM pg_catalog.pg_depend WHERE refobjid = 'public.course'::regclass", "unjudged-change", B, "dependency is gone (table public.course"),
    "dependencies taken out of a table that is altered": ("SET LOCAL allow_system_table_mods = on; ALTER TABLE course ADD more int; DELETE FROM pg_catalog.pg_depend WHERE refobjid = 'public.course'::regclass", "unjudged-change", B, "dependency is gone (table public.course"),
    "lost from the catalog": ("SET LOCAL allow_system_table_mods = on; DELETE FROM pg_catalog.pg_trigger WHERE tgisinternal AND tgrelid = 'public.course'::regclass", "object-changed", W, "on public.course) are gone"),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD.values(), ids=TOLD)
def test_what_nothing_else_shows_is_told(stage: CatalogStage, case):
    """Each is told once, by its rule, with the words that a reader needs, and no secret."""
    text, rule, severity, words = case
    found = stage.told(text)
    assert (rule, severity) in short(found)
    assert any(words in item.message for item in found if item.rule == rule), [item.message for item in found]
    assert "planted" not in "".join(f"{item.message}{item.evidence}" for item in found)


ORDINARY = {
    "table": 'CREATE TABLE loan (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who int REFERENCES "User", note text NOT NULL, UNIQUE (note))',
    "table gone": "DROP TABLE course CASCADE",
    "table renamed": 'ALTER TABLE "User" RENAME TO people_all',
    "table moved": 'ALTER TABLE course SET SCHEMA "Shop.1"',
    "serial": "CREATE TABLE ticket (id serial PRIMARY KEY); ALTER SEQUENCE ticket_id_seq OWNED BY NONE",
    "column": 'ALTER TABLE "User" ADD COLUMN nick text DEFAULT \'q\', ALTER COLUMN code DROP DEFAULT',
    "column gone": 'ALTER TABLE "User" DROP COLUMN tags',
    "column renamed": 'ALTER TABLE "User" RENAME COLUMN tags TO labels',
    "column's type": "DROP VIEW checked; ALTER TABLE course ALTER COLUMN owner TYPE bigint",
    "column of a key": "DROP VIEW checked; ALTER TABLE course ALTER COLUMN id TYPE int; ALTER TABLE place ALTER COLUMN id TYPE numeric",
    "not null": "ALTER TABLE log ADD COLUMN q int NOT NULL DEFAULT 3, ALTER COLUMN note SET NOT NULL",
    "long text for the first time": "ALTER TABLE course ADD COLUMN essay text",
    "index": "CREATE INDEX course_id_owner ON course (id, owner); DROP INDEX course_owner_idx; ALTER INDEX course_expr RENAME TO course_lower",
    "index on every partition": "CREATE INDEX log_note ON log (note); CREATE UNIQUE INDEX shelf_at ON shelf (at, id)",
    "constraints": 'ALTER TABLE course DROP CONSTRAINT late, ADD CONSTRAINT early CHECK (owner < 99), ADD CONSTRAINT again FOREIGN KEY (owner) REFERENCES "User" NOT VALID',
    "constraint validated": "ALTER TABLE course VALIDATE CONSTRAINT late; ALTER TABLE course ALTER CONSTRAINT course_owner_fkey NOT DEFERRABLE",
    "view replaced": "CREATE OR REPLACE VIEW people AS SELECT u.id, u.email, u.code FROM \"User\" u WHERE u.role = 'USER'",
    "view written otherwise": "CREATE OR REPLACE VIEW people  AS  SELECT u.id, u.email FROM \"User\"  u WHERE u.role = 'USER'",
    "materialized view": "CREATE MATERIALIZED VIEW one AS SELECT 1 AS a; REFRESH MATERIALIZED VIEW counted; DROP MATERIALIZED VIEW counted",
    "function": "CREATE OR REPLACE FUNCTION next_code() RETURNS text LANGUAGE sql AS 'SELECT 2::text'; DROP FUNCTION is_like CASCADE; CREATE PROCEDURE done() LANGUAGE sql AS 'SELECT 1'",
    "aggregate": "CREATE AGGREGATE product(int) (SFUNC = int4mul, STYPE = int); DROP AGGREGATE running(int)",
    "trigger": 'CREATE TRIGGER second BEFORE INSERT ON "User" FOR EACH ROW EXECUTE FUNCTION touch(); DROP TRIGGER touched ON "User"; ALTER TRIGGER asleep ON log RENAME TO awake',
    "rule": "CREATE RULE silent AS ON UPDATE TO scratch DO INSTEAD NOTHING; DROP RULE quiet ON scratch",
    "enum": "ALTER TYPE \"Role\" ADD VALUE 'GUEST' BEFORE 'ADMIN'",
    "enum renamed": 'ALTER TYPE "Role" RENAME VALUE \'USER\' TO \'MEMBER\'; ALTER TYPE "Role" RENAME TO rank',
    "enum swapped": 'DROP VIEW people CASCADE; DROP MATERIALIZED VIEW counted; DROP TRIGGER touched ON "User"; CREATE TYPE "Role_new" AS ENUM (\'USER\', \'ADMIN\', \'GUEST\'); REVOKE USAGE ON TYPE "Role_new" FROM PUBLIC; ALTER TABLE "User" ALTER COLUMN role DROP DEFAULT; ALTER TABLE "User" ALTER COLUMN role TYPE "Role_new" USING role::text::"Role_new"; ALTER TYPE "Role" RENAME TO "Role_old"; ALTER TYPE "Role_new" RENAME TO "Role"; DROP TYPE "Role_old"; ALTER TABLE "User" ALTER COLUMN role SET DEFAULT \'USER\'',
    "default set again": "ALTER TABLE course ALTER COLUMN owner SET DEFAULT 1; ALTER TABLE course ALTER COLUMN owner DROP DEFAULT; ALTER TABLE \"User\" ALTER COLUMN role DROP DEFAULT, ALTER COLUMN role SET DEFAULT 'USER'",
    "types": "CREATE TYPE mood AS ENUM ('a'); CREATE DOMAIN small AS int CHECK (VALUE < 9); CREATE TYPE twin AS (a int); CREATE TYPE reals AS RANGE (subtype = float4); ALTER TYPE pair ADD ATTRIBUTE c int",
    "types gone": "DROP TYPE floats; ALTER TYPE pair OWNER TO librarian",
    "domain": "ALTER DOMAIN email DROP NOT NULL; ALTER DOMAIN email SET DEFAULT 'z@z'; ALTER DOMAIN email DROP CONSTRAINT at",
    "sequence": 'CREATE SEQUENCE counter; ALTER SEQUENCE "Shop.1".numbers INCREMENT 3; ALTER SEQUENCE counter OWNED BY plain.a',
    "comments": 'COMMENT ON TABLE course IS \'x\'; COMMENT ON COLUMN course.owner IS \'y\'; COMMENT ON TABLE "User" IS NULL; COMMENT ON CONSTRAINT at ON DOMAIN email IS NULL',
    "extension": "CREATE EXTENSION hstore",
    "extension gone": "DROP EXTENSION pg_trgm; DROP EXTENSION citext",
    "schema": 'CREATE SCHEMA attic; ALTER SCHEMA "Shop.1" RENAME TO shop',
    "policies": 'CREATE POLICY all_of_it ON course USING (true); ALTER TABLE course ENABLE ROW LEVEL SECURITY; ALTER POLICY own ON "User" USING (id > 4)',
    "publications": "ALTER PUBLICATION news ADD TABLE plain; CREATE PUBLICATION everything FOR ALL TABLES",
    "statistics": "CREATE STATISTICS more ON id, owner FROM course; ALTER STATISTICS course_stats SET STATISTICS 7; DROP STATISTICS course_stats",
    "partition": "CREATE TABLE log_25 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01'); CREATE TABLE shelf_3 PARTITION OF shelf DEFAULT",
    "partition detached": "ALTER TABLE log DETACH PARTITION log_24; ALTER TABLE shelf DETACH PARTITION shelf_1",
    "partition attached": "CREATE TABLE log_26 (LIKE log INCLUDING ALL); ALTER TABLE log ATTACH PARTITION log_26 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "inheritance": "ALTER TABLE dog NO INHERIT animal; CREATE TABLE cat () INHERITS (animal)",
    "storage": "ALTER TABLE course SET (fillfactor = 70); ALTER TABLE plain SET UNLOGGED, ALTER COLUMN b SET STORAGE EXTERNAL; ALTER TABLE plain REPLICA IDENTITY FULL",
    "owner": 'ALTER TABLE course OWNER TO librarian; ALTER TABLE "User" OWNER TO librarian',
    "new role": "CREATE ROLE reporter NOLOGIN; GRANT SELECT ON course TO reporter; GRANT lenders TO reporter",
    "rights given": "GRANT INSERT ON course TO lenders; GRANT SELECT (id) ON course TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO lenders",
    "maintenance": "CLUSTER course USING course_pkey; TRUNCATE log; REINDEX TABLE course; ANALYZE; REFRESH MATERIALIZED VIEW counted",
    "rows": "INSERT INTO \"User\" (email) VALUES ('e@f'); UPDATE course SET owner = 2; DELETE FROM log; SELECT lo_create(777)",
    "temporary": "CREATE TEMPORARY TABLE aside (a int PRIMARY KEY, b text); CREATE INDEX ON aside (b)",
    "inside a block": "DO $$ BEGIN EXECUTE 'CREATE TABLE nested (id serial PRIMARY KEY)'; END $$; CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION watch()",
    "text search and collations": 'CREATE COLLATION c_like FROM "C"; CREATE TEXT SEARCH CONFIGURATION own_words (COPY = english); ALTER TEXT SEARCH CONFIGURATION simple_one DROP MAPPING FOR word',
    "operators": "CREATE OPERATOR FAMILY fresh USING btree; CREATE OPERATOR CLASS fresh_ops FOR TYPE int4 USING btree FAMILY fresh AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int4, int4)",
    "history": "CREATE TABLE public._prisma_migrations (id text); GRANT SELECT ON _prisma_migrations TO PUBLIC",
    "made and dropped": "CREATE TABLE brief (id serial PRIMARY KEY); DROP TABLE brief; CREATE TRIGGER brief AFTER INSERT ON plain EXECUTE FUNCTION touch(); DROP TRIGGER brief ON plain",
}  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_work_adds_no_warning(stage: CatalogStage, text):
    """What the schema difference lists, what follows from it and what the server keeps for itself need no finding."""
    assert [] == [item.message for item in stage.told(text) if item.severity is not KNOWN]


def test_nothing_done_is_nothing_told(stage: CatalogStage):
    """A copy is its template, row by row."""
    assert () == stage.told("SELECT 1")


def test_many_rows_of_one_cause_are_one_finding(stage: CatalogStage):
    """A right lost on thirty tables is told once, with how many and a few names."""
    made = "".join(
        f"CREATE TABLE public.many_{n} (a int); GRANT SELECT ON public.many_{n} TO lenders;" for n in range(30)
    )
    with stage.copy.transaction(force_rollback=True):
        found = stage.told(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_catalog TO lenders; {made}")
    (one,) = [item for item in found if item.rule == "privileges-changed" and "function" in item.message]
    assert 2000 < one.evidence["count"]
    assert len(one.message) < 700
    assert len(found) < 6


def test_findings_name_their_object_and_their_place(stage: CatalogStage):
    """A waiver can name the object; relations stand as tables, everything else as objects."""
    (one,) = stage.told("SELECT 1;\nALTER TYPE coin SET (SEND = NONE)")
    assert ("20260101_change", 2, None, "public.coin") == (one.migration, one.line, one.table, one.object)
    assert ("public.coin_send(public.coin)", "none") == (
        one.evidence["before"]["typsend"],
        one.evidence["after"]["typsend"],
    )
    assert ["typsend"] == one.evidence["attributes"]
    (two,) = stage.told("GRANT SELECT ON pg_catalog.pg_authid TO PUBLIC")
    assert ("pg_catalog.pg_authid", None) == (two.table, two.object)
    (three,) = stage.told(OWN_DATABASE.format("ALTER DATABASE %I CONNECTION LIMIT 1"))
    assert "database" == three.object


def test_a_judge_of_its_own_is_not_repeated(stage: CatalogStage):
    """Where the judge of enforcement has named the table, the ledger holds its tongue."""
    text = "ALTER TABLE place DISABLE TRIGGER ALL"
    said = Finding("enforcement-off", B, "x", table="public.place")
    assert () == stage.told(text, (said,))
    assert {("trigger-disabled", W)} == short(stage.told(text, (replace(said, table="public.plain"),)))
    assert () == stage.told(text, (replace(said, object="public.place.place_no"),))
    another = replace(said, object="public.place.place_pkey")
    assert {("trigger-disabled", W)} == short(stage.told(text, (another,)))
    elsewhere = replace(said, object="public.place.place_no", evidence={"tables": ["public.plain"]})
    assert {("trigger-disabled", W)} == short(stage.told(text, (elsewhere,)))


@pytest.mark.parametrize(
    ("catalog", "column", "text"),
    [
        ("pg_proc", "prosecdef", "ALTER FUNCTION citext_hash(citext) SECURITY DEFINER"),
        ("pg_class", "*", "CREATE TABLE loan (a int)"),
        ("pg_attribute", "attname", 'ALTER TABLE "User" RENAME COLUMN tags TO labels'),
        ("pg_db_role_setting", "*", "ALTER ROLE librarian SET work_mem = '64MB'"),
        ("pg_authid", "rolcanlogin", "ALTER ROLE librarian NOLOGIN"),
        ("pg_constraint", "convalidated", "ALTER TABLE course VALIDATE CONSTRAINT late"),
        ("pg_class", "relfilenode", "TRUNCATE log"),
    ],
)
def test_what_no_line_claims_is_a_blocker(stage: CatalogStage, catalog, column, text):
    """With a line taken out of the list, even an ordinary change is unjudged and says what differs."""
    rest = Claims(tuple(line for line in claims().lines if (line.catalog, line.column) != (catalog, column)))
    with stage.copy.transaction(force_rollback=True):
        stage.copy.execute("SET LOCAL search_path = public, pg_catalog")
        stage.copy.execute(text)
        stage.copy.execute("SET LOCAL search_path = pg_catalog")
        found = [item for item in stage.closed(text, known=rest) if item.rule == "unjudged-change"]
    assert {B} == {item.severity for item in found}
    assert {catalog} == {item.evidence["catalog"] for item in found}
    assert all("No judge knows what that means" in item.message for item in found)


def test_a_password_that_no_line_claims_is_not_shown(stage: CatalogStage):
    """A column that the list does not know may hold a secret: only that it changed is told, not even its digest."""
    rest = Claims(tuple(line for line in claims().lines if line.column != "rolpassword"))
    fresh = replace(stage, shared=read_cluster(stage.copy, rest))
    with stage.copy.transaction(force_rollback=True):
        stage.copy.execute("ALTER ROLE librarian PASSWORD 'planted-third'")
        found = [item for item in fresh.closed("", known=rest) if item.rule == "unjudged-change"]
    assert 1 == len(found)
    assert "is not what it was" in found[0].message
    assert not {"before", "after"} & found[0].evidence.keys()
    assert "SCRAM" not in f"{found[0]}"


def test_two_lines_that_claim_the_same_claim_nothing(stage: CatalogStage):
    """Which judge it is would be anybody's guess."""
    (line,) = [one for one in claims().lines if (one.catalog, one.column) == ("pg_type", "typsend")]
    twice = Claims((*claims().lines, replace(line, judge="internal")))
    with stage.copy.transaction(force_rollback=True):
        stage.copy.execute("ALTER TYPE public.coin SET (SEND = NONE)")
        found = stage.closed("", known=twice)
    assert {("unjudged-change", B)} == short(found)


def test_what_cannot_be_read_is_an_error_and_no_pass(stage: CatalogStage):
    """A server that does not answer in time leaves nothing decided."""
    with psycopg.connect(**{**stage.copy.info.get_parameters(), "password": stage.copy.info.password}) as broken:
        broken.execute("CREATE FUNCTION pg_temp.x() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        broken.execute("SELECT set_config('statement_timeout', '1', false)")
        broken.close()
        with pytest.raises((TargetUnusable, psycopg.OperationalError)):
            replace(stage, copy=broken).closed("")


def test_a_hundred_tables_take_less_than_half_a_second(postgres: Conninfo):
    """Reading and comparing both catalogs of an ordinary database, all but the by-name catalog, costs next to nothing."""
    schema = "".join(f"CREATE TABLE t{n} (id serial PRIMARY KEY, a text, b int REFERENCES t0);" for n in range(1, 100))
    both = staged(postgres, f"CREATE TABLE t0 (id serial PRIMARY KEY);{schema}")
    with both as made, made.copy.transaction(force_rollback=True):
        made.copy.execute(sql.SQL("ALTER TABLE public.t7 ADD COLUMN c int"))
        began = time.perf_counter()
        found = differing_rows(made.template, made.copy, claims().left_out())
        assert time.perf_counter() - began < 5
        assert {"pg_attribute"} == {change.table for change in found}
