# ruff: noqa: E501  (one statement, one line)
"""Several changes of one object hide nothing of each other: what each alone shows, all of them together show as well.

What stands first is done alone to each object, in one go for all objects, then what stands second, and so on; then all
of it at once. That is two reads more than the longest line has entries, whatever their number.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import pytest
from catalog_stage import CatalogStage, staged
from test_catalog_mutations import MORE, RICH, WITHOUT_CONTRIB, contrib
from test_versions import programs

from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres import disposable
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.catalog.cluster import read_cluster
from pytest_dryrun.postgres.catalog.difference import CatalogChange, difference
from pytest_dryrun.rehearsal.judge.balance import balance
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.statements import cut
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

OWN = """
CREATE FUNCTION tool() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER EXTENSION plpgsql ADD FUNCTION tool();
CREATE FUNCTION tooled() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE wide (a text, b text, c int);
CREATE OPERATOR CLASS shelf_ops FOR TYPE int4 USING btree AS OPERATOR 1 <, FUNCTION 1 btint4cmp(int4, int4);
"""

# For each object what is done to it. A new name ends in _new, so that the object is known again.
SEVERAL: dict[str, tuple[str, ...]] = {
    "column": (
        "ALTER TABLE wide ALTER a TYPE varchar(9)",
        "ALTER TABLE wide ALTER a SET STORAGE PLAIN",
        "ALTER TABLE wide ALTER a SET STATISTICS 7",
        "ALTER TABLE wide ALTER a SET DEFAULT 'x'",
        "ALTER TABLE wide ALTER a SET NOT NULL",
        "GRANT SELECT (a) ON wide TO lenders",
        "ALTER TABLE wide ALTER a SET (n_distinct = 3)",
        "ALTER TABLE wide RENAME a TO a_new",
    ),
    "collation of a column": ('ALTER TABLE wide ALTER b TYPE varchar(9) COLLATE "C"', "COMMENT ON COLUMN wide.b IS 'x'"),
    "table": (
        "ALTER TABLE course SET (fillfactor = 70)",
        "GRANT USAGE ON TYPE course TO lenders",
        "GRANT INSERT ON course TO lenders",
        "ALTER TABLE course ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE course SET (toast.autovacuum_enabled = off)",
        "ALTER TABLE course REPLICA IDENTITY FULL",
    ),
    "index": (
        "ALTER INDEX course_owner_idx SET (fillfactor = 70)",
        "ALTER INDEX course_owner_idx DEPENDS ON EXTENSION plpgsql",
        "COMMENT ON INDEX course_owner_idx IS 'x'",
        "ALTER INDEX course_owner_idx RENAME TO course_owner_idx_new",
    ),
    "constraint": (
        "ALTER TABLE course ALTER CONSTRAINT course_owner_fkey NOT DEFERRABLE",
        "ALTER TABLE course DISABLE TRIGGER ALL",
        "COMMENT ON CONSTRAINT course_owner_fkey ON course IS 'x'",
        "ALTER TABLE course RENAME CONSTRAINT course_owner_fkey TO course_owner_fkey_new",
    ),
    "function": (
        "CREATE OR REPLACE FUNCTION tooled() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "ALTER FUNCTION tooled() SECURITY DEFINER",
        "ALTER FUNCTION tooled() OWNER TO librarian",
        "GRANT EXECUTE ON FUNCTION tooled() TO lenders",
        "ALTER FUNCTION tooled() DEPENDS ON EXTENSION plpgsql",
        "ALTER FUNCTION tooled() RENAME TO tooled_new",
    ),
    "member of an extension": ("ALTER FUNCTION tool() STRICT", "ALTER EXTENSION plpgsql DROP FUNCTION tool()"),
    "aggregate": (
        "CREATE OR REPLACE AGGREGATE running(int) (SFUNC = int4pl, STYPE = int, MSFUNC = int4pl, MINVFUNC = int4mul, MSTYPE = int)",
        "ALTER AGGREGATE running(int) OWNER TO librarian",
        "ALTER AGGREGATE running(int) RENAME TO running_new",
    ),
    "policy": (
        'ALTER POLICY own ON "User" TO lenders',
        'ALTER POLICY own ON "User" USING (id > 4)',
        'ALTER POLICY own ON "User" WITH CHECK (id > 5)',
        'ALTER POLICY own ON "User" RENAME TO own_new',
    ),
    "sequence": (
        'ALTER SEQUENCE "Shop.1".numbers NO CYCLE',
        'ALTER SEQUENCE "Shop.1".numbers INCREMENT 3',
        'ALTER SEQUENCE "Shop.1".numbers CACHE 4 START 2',
        'ALTER SEQUENCE "Shop.1".numbers OWNER TO librarian',
        'ALTER SEQUENCE "Shop.1".numbers AS bigint',
        'GRANT UPDATE ON SEQUENCE "Shop.1".numbers TO lenders',
    ),
    "trigger of partitions": (
        "CREATE OR REPLACE TRIGGER shelf_guard BEFORE INSERT OR UPDATE ON shelf FOR EACH ROW EXECUTE FUNCTION touch()",
        "ALTER TABLE shelf DISABLE TRIGGER shelf_guard",
        "COMMENT ON TRIGGER shelf_guard ON shelf IS 'x'",
        "ALTER TRIGGER shelf_guard ON shelf DEPENDS ON EXTENSION plpgsql",
        "ALTER TRIGGER shelf_guard ON shelf RENAME TO shelf_guard_new",
    ),
    "trigger": (
        'ALTER TABLE "User" ENABLE ALWAYS TRIGGER touched',
        'ALTER TRIGGER touched ON "User" RENAME TO touched_new',
    ),
    "rule": ("ALTER TABLE scratch DISABLE RULE quiet", "ALTER RULE quiet ON scratch RENAME TO quiet_new"),
    "event trigger": (
        "ALTER EVENT TRIGGER watching DISABLE",
        "COMMENT ON EVENT TRIGGER watching IS 'x'",
        "ALTER EVENT TRIGGER watching RENAME TO watching_new",
    ),
    "view": (
        "CREATE OR REPLACE VIEW checked WITH (security_barrier) AS SELECT id, owner FROM course WHERE owner > 4 WITH LOCAL CHECK OPTION",
        "ALTER VIEW checked SET (security_barrier = false)",
        "ALTER VIEW checked SET (security_invoker = true)",
        "ALTER VIEW checked OWNER TO librarian",
        "ALTER VIEW checked ALTER id SET DEFAULT 7",
        "GRANT SELECT (id) ON checked TO lenders",
        "GRANT USAGE ON TYPE checked TO lenders",
    ),
    "materialized view": (
        "ALTER MATERIALIZED VIEW counted OWNER TO librarian",
        "ALTER MATERIALIZED VIEW counted ALTER n SET STATISTICS 7",
        "ALTER MATERIALIZED VIEW counted ALTER n SET (n_distinct = 9)",
        "GRANT SELECT (n) ON counted TO lenders",
        "ALTER MATERIALIZED VIEW counted SET (fillfactor = 70)",
    ),
    "domain": (
        "ALTER DOMAIN email SET DEFAULT 'z@z'",
        "ALTER DOMAIN email DROP NOT NULL",
        "ALTER DOMAIN email ADD CONSTRAINT long CHECK (length(VALUE) > 1)",
        "ALTER DOMAIN email OWNER TO librarian",
        "GRANT USAGE ON DOMAIN email TO lenders",
    ),
    "enum": (
        "ALTER TYPE \"Role\" ADD VALUE 'GUEST'",
        "ALTER TYPE \"Role\" RENAME VALUE 'USER' TO 'MEMBER'",
        'ALTER TYPE "Role" OWNER TO librarian',
        'GRANT USAGE ON TYPE "Role" TO lenders',
    ),
    "range": ("ALTER TYPE floats RENAME TO floats_new", "ALTER TYPE floats_multirange RENAME TO floats_multirange_new"),
    "base type": (
        "ALTER TYPE coin SET (SEND = NONE)",
        "ALTER TYPE coin OWNER TO librarian",
        "GRANT USAGE ON TYPE coin TO lenders",
        "ALTER TYPE coin SET (STORAGE = PLAIN, TYPMOD_IN = NONE)",
    ),
    "operator family": (
        "ALTER OPERATOR FAMILY mixed USING btree OWNER TO librarian",
        "ALTER OPERATOR FAMILY mixed USING btree DROP OPERATOR 1 (int4, int8)",
        "ALTER OPERATOR FAMILY mixed USING btree ADD OPERATOR 1 < (int8, int4)",
        "ALTER OPERATOR FAMILY mixed USING btree RENAME TO mixed_new",
    ),
    "operator class": (
        "ALTER OPERATOR CLASS shelf_ops USING btree OWNER TO librarian",

        "ALTER OPERATOR CLASS shelf_ops USING btree RENAME TO shelf_ops_new",
    ),
    "conversion": ("ALTER CONVERSION latin OWNER TO librarian", "ALTER CONVERSION latin RENAME TO latin_new"),
    "language": ("ALTER LANGUAGE plpgsql OWNER TO librarian", "GRANT USAGE ON LANGUAGE plpgsql TO lenders"),
    "large object": ("ALTER LARGE OBJECT 4242 OWNER TO librarian", "GRANT UPDATE ON LARGE OBJECT 4242 TO lenders"),
    "foreign data wrapper": (
        "ALTER FOREIGN DATA WRAPPER checked_one NO VALIDATOR",
        "GRANT USAGE ON FOREIGN DATA WRAPPER checked_one TO lenders",
        "ALTER FOREIGN DATA WRAPPER checked_one RENAME TO checked_one_new",
    ),
    "server": ("ALTER SERVER away VERSION '2'", "ALTER SERVER away OPTIONS (SET host 'i')", "GRANT USAGE ON FOREIGN SERVER away TO lenders"),
    "publication": (
        "ALTER PUBLICATION news ADD TABLE plain",
        "ALTER PUBLICATION news SET (publish = 'insert')",
        "ALTER PUBLICATION news OWNER TO librarian; ALTER PUBLICATION news OWNER TO postgres",
    ),
    "statistics": ("ALTER STATISTICS course_stats SET STATISTICS 7", "ALTER STATISTICS course_stats OWNER TO librarian"),
    "text search": (
        "ALTER TEXT SEARCH CONFIGURATION simple_one DROP MAPPING FOR word",
        "ALTER TEXT SEARCH CONFIGURATION simple_one OWNER TO librarian",
    ),
    "collation": (
        'ALTER COLLATION "Shop.1".plain OWNER TO librarian',
        'ALTER COLLATION "Shop.1".plain SET SCHEMA public',
    ),
    "operator": (
        'ALTER OPERATOR "Shop.1".~~~ (text, text) SET (RESTRICT = eqsel)',
        'ALTER OPERATOR "Shop.1".~~~ (text, text) OWNER TO librarian',
    ),
}  # fmt: skip

# What PostgreSQL does not have before.
SINCE = {"security_invoker": 150000}
# A fact: what shows it, the object, and what of it.
Facts = set[tuple[Any, ...]]


@pytest.fixture(scope="module", params=[15, 18], ids="PostgreSQL {}".format)
def stage(request: pytest.FixtureRequest) -> Iterator[CatalogStage]:
    """A rich database and its copy, on the oldest server at hand and on the newest."""
    if request.param == 15:
        with staged(request.getfixturevalue("postgres"), RICH + MORE + OWN) as made:
            yield made
        return
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        started = disposable.start("binaries", workspace=workspace, bindir=programs(request.param))
        try:
            more = MORE if contrib(started.conninfo) else WITHOUT_CONTRIB
            with staged(started.conninfo, RICH + more + OWN) as made:
                yield made
        finally:
            started.stop()
    finally:
        workspace.close()


def facts(stage: CatalogStage, before: Catalog, statements: list[str]) -> Facts:
    """What the schema difference and the ledger show of these statements; new names as the old ones."""
    text = ";\n".join(statements)
    with stage.copy.transaction(force_rollback=True):
        stage.copy.execute("SET LOCAL search_path = public, pg_catalog")
        stage.copy.execute(text)  # type: ignore[call-overload]
        stage.copy.execute("SET LOCAL search_path = pg_catalog")
        after = read_catalog(stage.copy, members=True)
        changes = difference(before, after, follow_oids=True)
        files = [Migration("20260101_change", "20260101_change/migration.sql", text, "", cut(text))]
        scene = Scene(before, after, changes, (), files, stage.template, stage.copy)
        found = balance(scene, stage.shared, read_cluster(stage.copy), ())
    listed = {fact for change in changes for fact in of_change(change)}
    return listed | {fact for finding in found for fact in of_finding(finding)}


def of_change(change: CatalogChange) -> Iterator[tuple[Any, ...]]:
    """One fact for each attribute."""
    item = change.old or change.new
    assert item is not None
    for attribute in change.attributes or (change.action.value,):
        yield ("listed", item.kind, item.oid, item.number, attribute)


def of_finding(finding: Finding) -> Iterator[tuple[Any, ...]]:
    """One fact for each object and each attribute, right or state of it."""
    said = finding.evidence
    whats = said.get("attributes") or said.get("rights") or [said.get("attribute") or said.get("event")]
    for name in said.get("objects") or said.get("tables") or [finding.object]:
        for what in whats:
            about = (str(name).replace("_new", ""), what, said.get("grantee"), said.get("given"))
            yield (finding.rule, *about, said.get("after") if what == "enabled" else None)


def test_what_each_change_alone_shows_all_together_show(stage: CatalogStage):
    """Nothing hides behind another change of the same object, and nothing is told twice because there are two."""
    version = stage.copy.info.server_version
    lines = [
        [text for text in texts if not any(word in text and version < first for word, first in SINCE.items())]
        for texts in SEVERAL.values()
    ]
    before = read_catalog(stage.copy, members=True)
    alone: Facts = set()
    for texts in zip_longest(*lines):
        alone |= facts(stage, before, [text for text in texts if text is not None])
    together = facts(stage, before, [text for texts in lines for text in texts])
    assert set() == alone - together, sorted(map(str, alone - together))
    assert set() == together - alone, sorted(map(str, together - alone))
    assert 90 < len(together)
