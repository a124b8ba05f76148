"""The list of claims is complete: every column of every system catalog, on every server at hand, claimed once."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from itertools import combinations

import pytest
from test_versions import SUPPORTED, programs

from pytest_dryrun.model.rules import RULES
from pytest_dryrun.postgres import disposable
from pytest_dryrun.postgres.catalog.claims import JUDGES, SILENT, WHOLE_ROW, Claim, claims, parsed
from pytest_dryrun.postgres.catalog.queries import queries
from pytest_dryrun.postgres.catalog.rows import Event, SystemTable, system_tables
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.workspace import Workspace

OLDEST, NEWEST = 14, 18
HEADING = "catalog\tcolumn\tversions\tevent\tsort\tjudge\tlisted\tshown\twords\n"
# Read nowhere at all: filled by ANALYZE, data, and what follows from grants.
UNREAD = {"pg_statistic", "pg_statistic_ext_data", "pg_largeobject", "pg_init_privs", "pg_shdepend"}


def asked_of(conninfo: Conninfo) -> tuple[int, tuple[SystemTable, ...]]:
    """The major version of a server and its system catalogs."""
    with connect(conninfo) as connection:
        return connection.info.server_version // 10000, system_tables(connection)


@pytest.fixture(scope="module", params=[15, *SUPPORTED], ids="PostgreSQL {}".format)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, tuple[SystemTable, ...]]]:
    """Each server at hand: the machine's own, and the others that were fetched."""
    if request.param == 15:
        yield asked_of(request.getfixturevalue("postgres"))
        return
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        started = disposable.start("binaries", workspace=workspace, bindir=programs(request.param))
        yield asked_of(started.conninfo)
        started.stop()
    finally:
        workspace.close()


@pytest.mark.live
def test_every_column_of_every_catalog_is_claimed_for_a_change(server):
    """A column that no line names would be reported as unjudged on the first occasion: the list is to be extended."""
    _, tables = server
    missing = [
        f"{table.name}.{column}"
        for table in tables
        for column in table.columns
        if not claims().about(table.name, column, Event.CHANGED)
    ]
    assert [] == missing


@pytest.mark.live
def test_every_catalog_is_claimed_for_rows_that_come_and_go(server):
    """Rows that are new or gone are claimed as a whole, each way."""
    _, tables = server
    events = (Event.ADDED, Event.REMOVED)
    assert [] == [
        (table.name, event) for table in tables for event in events if not claims().about(table.name, WHOLE_ROW, event)
    ]


@pytest.mark.live
def test_a_claim_names_only_columns_that_its_versions_have(server):
    """A line about a column that the server should have and has not is a slip of the pen."""
    major, tables = server
    known = {(table.name, column) for table in tables for column in (*table.columns, WHOLE_ROW)}
    here = {(line.catalog, line.column) for line in claims().lines if line.first <= major <= line.last}
    assert set() == here - known


@pytest.mark.live
def test_a_column_that_a_version_does_not_have_is_not_claimed_for_it(server):
    """`15-` is written where a column came with PostgreSQL 15, `-16` where it went after PostgreSQL 16."""
    major, tables = server
    known = {(table.name, column) for table in tables for column in (*table.columns, WHOLE_ROW)}
    elsewhere = {(line.catalog, line.column) for line in claims().lines if not line.first <= major <= line.last}
    assert set() == elsewhere & known


@pytest.mark.live
def test_keys_are_claimed_as_keys(postgres: Conninfo):
    """What stands in a catalog's primary key identifies the row; the catalogs themselves say which columns do."""
    _, tables = asked_of(postgres)
    keys = {(table.name, column) for table in tables for column in table.key or table.columns}
    said = {(line.catalog, line.column) for line in claims().lines if line.judge == "key" and line.first <= 15}
    assert keys == said


def test_each_line_names_a_judge_and_has_words():
    """A judge is one of the ledger's own ways or a rule of the list; the words reach people."""
    assert [] == [line for line in claims().lines if line.judge not in {*JUDGES, *RULES} or not line.words]


def test_each_line_names_versions_that_are_supported():
    """A column that came before the oldest supported version is there everywhere."""
    assert [] == [line for line in claims().lines if not OLDEST < (line.first or NEWEST) <= NEWEST]


def test_lines_about_one_column_never_overlap():
    """Of two lines about the same, one demands what the other forbids, or another value of the same."""
    for first, second in combinations(claims().lines, 2):
        if (first.catalog, first.column, first.event) == (second.catalog, second.column, second.event):
            assert apart(first, second), (first, second)


def apart(first: Claim, second: Claim) -> bool:
    """Whether no row can meet the conditions of both."""
    if any(f"!{one}" in second.sort for one in first.sort) or any(f"!{one}" in first.sort for one in second.sort):
        return True
    one, two = (values(line) for line in (first, second))
    return any(one[name].isdisjoint(two[name]) for name in one.keys() & two.keys())


def values(line: Claim) -> dict[str, set[str]]:
    """The values that a line's conditions allow, by name."""
    pairs = (item.split("=") for item in line.sort if "=" in item and not item.startswith("!"))
    return {name: set(allowed.split("|")) for name, allowed in pairs}


def test_a_lookup_finds_one_claim_or_none():
    """Two lines that hold at once claim nothing: which judge it is would be anybody's guess."""
    lines = (
        "pg_am\tamname\t-\tchanged\tbuiltin\tledger\t\t\tname",
        "pg_am\tamname\t-\tchanged\tmember\tnote\t\t\tname",
    )
    found = parsed(HEADING + "\n".join(lines))
    assert "ledger" == getattr(found.claim("pg_am", "amname", Event.CHANGED, {"builtin": ""}), "judge", None)
    assert found.claim("pg_am", "amname", Event.CHANGED, {"builtin": "", "member": ""}) is None
    assert found.claim("pg_am", "amname", Event.CHANGED, {}) is None
    assert found.claim("pg_am", "amtype", Event.CHANGED, {"builtin": ""}) is None


@pytest.mark.parametrize(
    ("condition", "sort", "met"),
    [
        ("relkind=i|I", {"relkind": "I"}, True),
        ("relkind=i|I", {"relkind": "r"}, False),
        ("relkind=i|I", {}, False),
        ("!relkind=i|I", {"relkind": "r"}, True),
        ("toast", {"toast": ""}, True),
        ("!toast", {"toast": ""}, False),
    ],
)
def test_conditions_of_a_sort(condition, sort, met):
    """A name, a name with one of several values, or the opposite of either."""
    text = f"{HEADING}pg_class\trelam\t-\tchanged\t{condition}\tnote\t\t\tx"
    assert met is (parsed(text).claim("pg_class", "relam", Event.CHANGED, sort) is not None)


def test_secrets_are_marked():
    """Passwords and connection strings are compared and never shown."""
    secret = {(line.catalog, line.column) for line in claims().lines if line.secret}
    expected = {("pg_authid", "rolpassword"), ("pg_subscription", "subconninfo"), ("pg_user_mapping", "umoptions")}
    assert expected <= secret


def test_nothing_that_may_matter_is_left_unread():
    """Only columns whose every line says that they never matter are left out of the comparison."""
    for catalog, columns in claims().left_out().items():
        for column in columns:
            judges = {line.judge for line in claims().about(catalog, column, Event.CHANGED)}
            assert judges <= SILENT or (judges == {"key"} and catalog in UNREAD)


# Nothing changes these but dropping the object and making another one.
MADE_ANEW = {
    ("pg_class", "relkind"),
    ("pg_default_acl", "defaclnamespace"),
    ("pg_opclass", "opcintype"),
    ("pg_operator", "oprleft"),
    ("pg_operator", "oprright"),
    ("pg_transform", "trftype"),
    ("pg_transform", "trflang"),
    ("pg_user_mapping", "umserver"),
}


def test_what_the_schema_difference_lists_names_the_attribute():
    """That the object is listed for something else says nothing: a line without attributes holds for new ones alone."""
    lines = [line for line in claims().lines if line.event is Event.CHANGED]
    compared = [line for line in lines if line.judge in ("difference", "definition")]
    assert MADE_ANEW == {(line.catalog, line.column) for line in compared if not line.listed}
    reported_anyway = SILENT | {"key", "ledger", "settings", "triggers"}
    assert [] == [line for line in lines if line.judge in reported_anyway and line.listed]


@pytest.mark.live
def test_an_attribute_that_a_claim_names_is_one_of_the_catalog(postgres: Conninfo):
    """A slip of the pen would claim that something is shown which is not."""
    with connect(postgres) as connection:
        text = " ".join(queries(connection.info.server_version))
        columns = {column for table in system_tables(connection) for column in table.columns}
    known = set(re.findall(r"'(\w+)',", text)) | columns | {"name", "schema"}
    newer = {name for line in claims().lines if line.first > 15 for name in line.listed}
    newer |= {"not_null_name", "not_null_valid", "not_null_no_inherit"}
    assert set() == {name for line in claims().lines for name in line.listed} - known - newer
