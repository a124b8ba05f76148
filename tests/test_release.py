# ruff: noqa: E501  (one case, one line)
"""What the running release does is tried on real databases: each way of breaking it is red, each safe twin is calm."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql
from scenes import B, W, prepared, released

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.fingerprint import take
from pytest_dryrun.rehearsal.release.statements import chosen, without_values
from pytest_dryrun.steps import running_release
from pytest_dryrun.steps.running_release import Trial

pytestmark = pytest.mark.live

SETUP = """
CREATE TYPE phase AS ENUM ('open', 'shut');
CREATE TABLE club (id serial PRIMARY KEY, name text NOT NULL UNIQUE, phase phase NOT NULL DEFAULT 'open', note text, size bigint NOT NULL DEFAULT 1,
  loud text GENERATED ALWAYS AS (upper(name)) STORED);
INSERT INTO club (name, note) SELECT 'c' || n, CASE WHEN n % 2 = 0 THEN 'x' END FROM generate_series(1, 9) n;
CREATE TABLE member (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, club_id int NOT NULL REFERENCES club, boss int REFERENCES member, since date NOT NULL);
INSERT INTO member (club_id, boss, since) VALUES (1, NULL, '2024-01-01'), (2, 1, '2024-01-02');
CREATE TABLE game (at date NOT NULL, score int NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE game_a PARTITION OF game FOR VALUES FROM ('2024-01-01') TO ('2025-01-01'); CREATE TABLE game_b PARTITION OF game DEFAULT;
INSERT INTO game VALUES ('2024-05-05', 1), ('2026-05-05', 2);
CREATE TABLE slot (room int NOT NULL, during int4range NOT NULL, EXCLUDE USING gist (during WITH &&)); INSERT INTO slot VALUES (1, '[1,3)'), (2, '[5,8)');
CREATE TABLE pair (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, b int UNIQUE DEFERRABLE); INSERT INTO pair VALUES (1, 1), (2, 2);
CREATE TABLE log (what text, doc json); INSERT INTO log VALUES ('a', '{}');
CREATE TABLE vacant (id serial PRIMARY KEY, kind text NOT NULL);
CREATE VIEW names AS SELECT id, name FROM club;
CREATE VIEW joined AS SELECT c.name, m.since FROM club c JOIN member m ON m.club_id = c.id;
CREATE FUNCTION into_both() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.club (name) VALUES (NEW.name || '+'); RETURN NEW; END $$;
CREATE TRIGGER writing INSTEAD OF INSERT ON joined FOR EACH ROW EXECUTE FUNCTION into_both();
CREATE MATERIALIZED VIEW sizes AS SELECT phase, count(*) AS n FROM club GROUP BY phase;
"""
RAISES = "CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'closed'; END $$;"
EMPTY = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"


@pytest.mark.parametrize(
    ("text", "table", "state", "operation"),
    [
        pytest.param("ALTER TABLE club ADD CHECK (name > 'd') NOT VALID;", "club", "23514", "INSERT of every column", id="check that no row meets"),
        pytest.param("ALTER TABLE club ALTER size DROP DEFAULT, ALTER size TYPE boolean USING size > 0, ALTER size SET DEFAULT true;", "club", "42804", "INSERT of every column", id="type that takes no such value"),
        pytest.param("ALTER TABLE club ENABLE ROW LEVEL SECURITY;", "club", "", "SELECT of every column", id="row security"),
        pytest.param(EMPTY + "CREATE TRIGGER t BEFORE INSERT ON club FOR EACH ROW EXECUTE FUNCTION nothing();", "club", "", "INSERT of every column", id="trigger swallows"),
        pytest.param("CREATE RULE r AS ON DELETE TO pair DO INSTEAD NOTHING;", "pair", "", "DELETE of a row", id="rule swallows"),
        pytest.param(RAISES + "CREATE CONSTRAINT TRIGGER t AFTER UPDATE ON member DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION raising();", "member", "P0001", "UPDATE of a row", id="raised at commit"),
        pytest.param("ALTER TABLE game ADD CHECK (score < 0) NOT VALID;", "game", "23514", "INSERT of every column", id="partitioned"),
        pytest.param("ALTER TABLE slot ADD CHECK (room > 5) NOT VALID;", "slot", "23514", "INSERT of every column", id="beside an exclusion constraint"),
        pytest.param("REFRESH MATERIALIZED VIEW sizes WITH NO DATA;", "sizes", "55000", "SELECT of every column", id="materialized view without data"),
        pytest.param("CREATE OR REPLACE FUNCTION into_both() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;", "joined", "", "INSERT of every column", id="INSTEAD OF trigger that does nothing"),
        pytest.param("CREATE OR REPLACE VIEW names AS SELECT DISTINCT id, name FROM club;", "names", "55000", "INSERT of every column", id="view that takes no write"),
        pytest.param("CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.club WHERE id = NEW.id; RETURN NULL; END $$; CREATE TRIGGER t AFTER INSERT ON club FOR EACH ROW EXECUTE FUNCTION discard();", "club", "", "INSERT without the columns that have a default", id="deleted again"),
        pytest.param("CREATE FUNCTION others() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.log; RETURN NULL; END $$; CREATE TRIGGER t AFTER INSERT ON club FOR EACH ROW EXECUTE FUNCTION others();", "club", "", "INSERT of every column", id="another table's rows"),
    ],
)  # fmt: skip
def test_what_breaks(postgres, text, table, state, operation):
    """The table, the SQLSTATE and the operation; what failed before is no news."""
    with released(postgres, SETUP, text) as tried:
        found = [item for item in tried.findings if item.severity is B and item.rule == "old-release-breaks"]
    told = [item for item in found if (f"public.{table}", state) == (item.table, item.evidence["sqlstate"])]
    assert any(operation in item.evidence["operations"] for item in told)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("SELECT 1;", id="nothing"),
        pytest.param("ALTER TABLE club ADD country text, ADD rank int NOT NULL DEFAULT 1;", id="columns"),
        pytest.param("DROP VIEW joined, names; ALTER TABLE member ALTER club_id TYPE bigint; ALTER TABLE club ALTER id TYPE bigint; CREATE VIEW names AS SELECT id, name FROM club; CREATE VIEW joined AS SELECT c.name, m.since FROM club c JOIN member m ON m.club_id = c.id; CREATE TRIGGER writing INSTEAD OF INSERT ON joined FOR EACH ROW EXECUTE FUNCTION into_both();", id="wider key"),
        pytest.param("ALTER TABLE club ADD CHECK (length(name) < 100) NOT VALID;", id="check that rows meet"),
        pytest.param("ALTER TABLE club ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON club USING (true);", id="row security with a policy"),
        pytest.param("CREATE TABLE tribe (id int PRIMARY KEY); ALTER TABLE club ADD tribe_id int REFERENCES tribe;", id="new parent"),
        pytest.param("CREATE TABLE prize (club_id int REFERENCES club); INSERT INTO prize SELECT id FROM club;", id="new children of every row"),
        pytest.param("CREATE UNIQUE INDEX ON club (lower(name)); CREATE INDEX ON member (since);", id="indexes"),
        pytest.param("CREATE TABLE game_c PARTITION OF game FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');", id="another partition"),
        pytest.param("ALTER TABLE pair RENAME TO couple; CREATE VIEW pair AS SELECT * FROM couple;", id="renamed behind a view"),
        pytest.param("ALTER TYPE phase ADD VALUE 'late';", id="label"),
        pytest.param("CREATE TABLE trail (what text); CREATE FUNCTION trail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.trail VALUES (TG_OP); RETURN NULL; END $$; CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON club FOR EACH ROW EXECUTE FUNCTION trail();", id="trail of what is written"),
        pytest.param("ALTER TABLE log ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;", id="a first key"),
        pytest.param("ALTER TABLE pair DROP CONSTRAINT pair_pkey, ADD c uuid DEFAULT gen_random_uuid() PRIMARY KEY, ADD UNIQUE (a);", id="another key"),
        pytest.param("DELETE FROM log; TRUNCATE game;", id="rows that are gone are others' business"),
    ],
)  # fmt: skip
def test_what_does_not(postgres, text):
    """No blocker, and nothing that worked is left untried."""
    with released(postgres, SETUP, text) as tried:
        assert [] == [item.message for item in tried.findings if item.severity is B]
        assert tried.statements > 30
        assert tried.trouble is None


def test_special_rules_keep_their_causes(postgres):
    """Who names the cause reports it, once; what was only feared and then failed is a blocker."""
    text = "ALTER TABLE club RENAME note TO remark; ALTER TABLE member RENAME TO person; DROP VIEW joined; ALTER TABLE club ALTER phase DROP DEFAULT; UPDATE club SET remark = 'y' WHERE remark IS NULL; ALTER TABLE club ALTER remark SET NOT NULL;"
    with released(postgres, SETUP, text) as tried:
        found = sorted(
            (
                item.rule,
                item.severity,
                str(item.evidence.get("old") or item.evidence.get("object") or item.evidence.get("column")),
            )
            for item in tried.findings
        )
    assert ("renamed", B, "public.club.note") in found
    assert ("renamed", B, "public.member") in found
    assert ("required-column", B, "phase") in found
    assert ("object-dropped", B, "public.joined") in found
    assert "old-release-breaks" not in {rule for rule, _, _ in found}


def test_what_could_not_be_tried_is_listed(postgres):
    """An empty table, a view that cannot be read, a foreign table, and whatever the time did not suffice for."""
    setup = SETUP + "CREATE VIEW broken AS SELECT 1 / (id - id) AS n FROM club;"
    with released(postgres, setup, "SELECT 1;") as tried:
        listed = " | ".join(map(str, tried.not_tried))
    assert "INSERT, UPDATE and DELETE on public.vacant: there is no row" in listed
    assert "public.broken: its rows cannot be read: 22012" in listed
    with released(postgres, SETUP, "SELECT 1;", time_limit_s=0.001) as tried:
        assert {"no time was left"} == {item.why for item in tried.not_tried[1:]}
        assert tried.statements < 30


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        pytest.param("ALTER TABLE vacant ADD CHECK (kind <> '');", {"check"}, id="check"),
        pytest.param("ALTER TABLE vacant ADD UNIQUE (kind);", {"unique"}, id="unique"),
        pytest.param("CREATE UNIQUE INDEX ON vacant (lower(kind));", {"unique index"}, id="expression"),
        pytest.param("ALTER TABLE vacant ADD FOREIGN KEY (kind) REFERENCES club (name);", {"foreign key"}, id="foreign key"),
        pytest.param("ALTER TABLE vacant ADD EXCLUDE USING btree (kind WITH =);", {"exclude"}, id="exclusion"),
        pytest.param("ALTER TABLE vacant ADD club_id int REFERENCES club, ADD rank int UNIQUE CHECK (rank > 0), ADD UNIQUE (kind, rank);", set(), id="new columns"),
        pytest.param("ALTER TABLE club ADD UNIQUE (name, size);", set(), id="a table with rows"),
        pytest.param("CREATE INDEX ON vacant (kind);", set(), id="index that keeps nothing out"),
    ],
)  # fmt: skip
def test_new_constraints_of_an_empty_table_are_told(postgres, text, kinds):
    """A warning: nobody could try what they refuse."""
    with released(postgres, SETUP, text) as tried:
        found = [item for item in tried.findings if item.rule == "old-release-breaks"]
    assert {(W, "public.vacant", kind, 1) for kind in kinds} == {
        (item.severity, item.table, item.evidence.get("kind"), item.line) for item in found
    }


def test_a_table_that_reads_another_server_is_not_asked_for_rows(postgres):
    """Nobody answers there; its new constraint keeps nothing else from being judged."""
    far = "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (port '1');"
    far += (
        "CREATE FOREIGN TABLE game_far PARTITION OF game FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') SERVER far;"
    )
    with released(postgres, SETUP + "TRUNCATE game;" + far, "ALTER TABLE game ADD CHECK (score > 0);") as tried:
        assert [] == [item.message for item in tried.findings]
        assert "public.game: it reads or is a foreign table" in " | ".join(map(str, tried.not_tried))


def test_touched_tables_come_first(postgres):
    """With little time what the migration names is tried."""
    many = "".join(
        f"CREATE TABLE other_{n} (id serial PRIMARY KEY); INSERT INTO other_{n} DEFAULT VALUES;" for n in range(5)
    )
    with prepared(postgres, many + SETUP, "ALTER TABLE member ADD x int;") as (template, _, files):
        done = running_release.before(postgres, template, Trial("test_release_order", 60), files, frozenset())
    names = [relation.name for relation in done.order]
    assert ["public.member", "public.club"] == names[:2]


def test_no_trace_is_left(postgres):
    """Sequences, files and rows of both databases are what they were, and no copy and no role is left."""

    def state(database: Conninfo) -> object:
        with connect(database) as connection:
            files = connection.execute(
                "SELECT relname, relfilenode FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace = 'public'::regnamespace ORDER BY 1"
            ).fetchall()
            positions = [
                connection.execute(sql.SQL("SELECT * FROM public.{}").format(sql.Identifier(name))).fetchone()
                for name in ("club_id_seq", "member_id_seq")
            ]
        return files, positions, take(database).tables

    with prepared(postgres, SETUP, "ALTER TABLE club ADD x int;") as (template, copy, files):
        before = state(template), state(copy)
        trial = Trial("test_release_trace", 60)
        done = running_release.before(postgres, template, trial, files, frozenset())
        tried = running_release.after(postgres, copy, trial, done, files, (), ())
        assert tried.statements > 30
        assert before == (state(template), state(copy))
    with connect(postgres) as admin:
        assert [] == admin.execute("SELECT 1 FROM pg_database WHERE datname = 'test_release_trace'").fetchall()
        assert [] == admin.execute("SELECT 1 FROM pg_roles WHERE rolname LIKE 'pytest_dryrun%'").fetchall()


def test_a_policy_that_asks_a_setting_is_served(postgres):
    """The tenant is found among the row's own values; a policy that lets nobody in afterwards is red."""
    setup = "CREATE TABLE bill (id serial PRIMARY KEY, tenant text NOT NULL); INSERT INTO bill (tenant) VALUES ('north'), ('south'); ALTER TABLE bill ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON bill USING (tenant = current_setting('app.tenant'));"
    with released(postgres, setup, "ALTER TABLE bill ADD x int;") as tried:
        assert () == tried.findings
        assert tried.statements >= 5
    with released(
        postgres,
        setup,
        "DROP POLICY own ON bill; CREATE POLICY own ON bill USING (tenant = current_setting('app.owner', true));",
    ) as tried:
        assert {"public.bill"} == {
            item.table for item in tried.findings if item.rule == "old-release-breaks" and item.severity is B
        }


def test_values_that_come_back_otherwise_are_a_warning(postgres):
    """A trigger that rewrites what is written is told to whoever reads it."""
    text = "CREATE FUNCTION rewrite() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := 'other'; RETURN NEW; END $$; CREATE TRIGGER t BEFORE INSERT ON club FOR EACH ROW EXECUTE FUNCTION rewrite();"
    with released(postgres, SETUP, text) as tried:
        found = [(item.severity, item.table) for item in tried.findings]
    assert (W, "public.club") in found
    assert {W} == {severity for severity, _ in found}


def test_known_statements_are_parsed(postgres):
    """A statement that no longer parses is told without its values; one that a special rule explains is not."""
    sent = (
        "SELECT note FROM club WHERE name = 'planted-name'",
        "SELECT length(loud) FROM club WHERE id = 7",
        "VACUUM club",
        "SELECT relname FROM pg_class",
        "SELECT wrong FROM club",
    )
    assert sent[:2] + sent[4:] == chosen(sent)
    with released(
        postgres,
        SETUP,
        "ALTER TABLE club ALTER loud DROP EXPRESSION; ALTER TABLE club ALTER loud TYPE int USING 1;",
        statements=sent,
    ) as tried:
        told = [item for item in tried.findings if item.table is None]
    assert ["42883"] == [item.evidence["sqlstate"] for item in told]
    assert "SELECT length(loud) FROM club WHERE id = ?" == told[0].evidence["sql"]
    with released(postgres, SETUP, "ALTER TABLE club RENAME note TO remark;", statements=sent) as tried:
        assert ["renamed"] == [item.rule for item in tried.findings]
    assert 'SELECT ?, $1, a."b" FROM t' == without_values("SELECT 'secret',  $1, a.\"b\"\nFROM t")


def test_what_is_said(postgres):
    """Who, what, where, the SQLSTATE, and what to do; no value of a row."""
    with released(
        postgres, SETUP, "SELECT 1;\nALTER TABLE member ADD CHECK (since > '2030-01-01') NOT VALID;"
    ) as tried:
        (found,) = tried.findings
    assert found.message.startswith(
        "INSERT and UPDATE on public.member fail for an application that may read and write everything after the "
        "migration, changed by 20260301_change, line 2: SQLSTATE 23514, new row for relation"
    )
    assert "$1::integer" in found.evidence["sql"]
    assert "2024-01-01" not in str(found)


def test_a_server_that_cannot_be_asked_is_told(postgres):
    """Findings that need no trial stay, and the check raises what kept it from trying."""
    trial = Trial("test_release_gone", 60)
    with prepared(postgres, SETUP, "SELECT 1;") as (template, copy, files):
        with psycopg.connect(**template.parameters()):
            done = running_release.before(postgres, template, trial, files, frozenset())
        tried = running_release.after(postgres, copy, trial, done, files, (), ())
    with pytest.raises(TargetUnusable, match="somebody is connected"):
        tried.hold()
