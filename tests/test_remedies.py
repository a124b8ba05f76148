"""Every remedy that a finding prints, run as it is printed: it reaches the same schema, and does none of the harm.

One server for each version, one rehearsal of all unsafe migrations, one of what the findings print in their place.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from needs import require
from remedy_cases import CASES, INDEXED, REWRITTEN, SCANNED, Case

import pytest_dryrun
from pytest_dryrun.config import Performance, Stalls
from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.model.messages import blocks, prose
from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres import databases, fingerprint, roles
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import start
from pytest_dryrun.probes.transactions import LongestTransaction
from pytest_dryrun.rehearsal.judge.remedies.remedy import NO_TRANSACTION, REPEATED, Family
from pytest_dryrun.sql.statements import cut
from pytest_dryrun.steps.rehearsal import Rehearsal, rehearse
from pytest_dryrun.steps.running_release import Trial
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

OLDEST, MACHINE, NEWEST = 14, 0, 18  # 0: whatever the machine has
HARM = {REWRITTEN, SCANNED, INDEXED, "data-at-risk", "unsafe-default", "statement-failed", "not-observed"}
# A command's tag, and what `violations` runs on an empty clone.
NO_REMEDIES = [
    "conflicts.py: CREATE INDEX ON pg_temp.{} USING {} ({})",
    "locks.py: REFRESH MATERIALIZED VIEW",
    "violations.py: ALTER TABLE ",
    "violations.py: CREATE UNIQUE INDEX ON ",
]
PACKAGE = Path(pytest_dryrun.__file__).parent / "rehearsal" / "judge" / "remedies"


@dataclass(frozen=True)
class Tried:
    """What one server made of all cases."""

    major: int
    printed: Mapping[str, list[Finding]]
    unsafe: Catalog
    reached: Catalog
    safe: Rehearsal


def said(done: Rehearsal) -> list[Finding]:
    """Every finding of a rehearsal."""
    groups = (
        done.failures,
        done.undone,
        done.destructive,
        done.foreign_keys,
        done.safe_defaults,
        done.indexes,
        done.stalls,
    )
    return [finding for group in groups for finding in group]


class Stand:
    """A server with one database that holds every case's tables, and rehearsals on copies of it."""

    def __init__(self, admin: Conninfo, folder: Path, cases: Sequence[Case]) -> None:
        self.admin, self.folder, self.cases = admin, folder, cases
        self.template = admin.database("remedies")
        with psycopg.connect(**admin.parameters(), autocommit=True) as connection:
            connection.execute("SET allow_in_place_tablespaces = on")
            connection.execute("CREATE TABLESPACE remedy_far LOCATION ''")
            connection.execute("CREATE DATABASE remedies")
        with psycopg.connect(**self.template.parameters(), autocommit=True) as connection:
            for case in cases:
                connection.execute(f"CREATE SCHEMA {case.schema}; {case.sql(case.setup)}")
            connection.execute("ANALYZE")
        self.prints = fingerprint.take(self.template)

    def rehearse(self, name: str, files: Mapping[str, str]) -> Rehearsal:
        """What these files did to a copy."""
        folder = self.folder / name
        folder.mkdir()
        for file, text in files.items():
            (folder / f"{file}.sql").write_text(text, encoding="utf-8")
        migrations = SqlFolder(folder)
        done = rehearse(
            self.admin,
            self.template,
            self.prints,
            name,
            migrations,
            migrations.folder(),
            in_transaction=True,
            timeout_s=60,
            performance=Performance(),
            limits=Stalls(),
            held=roles.read(self.admin),
            trial=Trial(f"{name}_release", 60),
            free_bytes=lambda: 1 << 40,
            longest_transaction=LongestTransaction,
        )
        databases.drop(self.admin, name)
        return done

    def reached(self) -> Catalog:
        """The schemas that remedies must lead to where the unsafe form does not make them itself."""
        copy = databases.copy(self.admin, "remedies", "reached")
        with psycopg.connect(**copy.parameters(), autocommit=True) as connection:
            for case in self.cases:
                if case.reach:
                    connection.execute(case.sql(case.reach))
        with connect(copy) as connection:
            return read_catalog(connection)


def files(case: Case, message: str) -> Iterator[str]:
    """The migrations that a remedy consists of, as its headers say."""
    header = ""
    for code, text in blocks(message):
        if not code:
            header = text.splitlines()[-1]
        elif NO_TRANSACTION in header:
            yield from (f"{statement.sql};" for statement in cut(text))
        elif REPEATED in header:
            yield "\n".join([text] * 4)
        else:
            if case.fill and "once every row has a value" in header:
                yield case.sql(case.fill)
            yield text


def on(major: int, name: str) -> object:
    """A server, all of whose tests run in one worker: to start it and rehearse takes half a minute."""
    return pytest.param(major, id=name, marks=pytest.mark.xdist_group(f"remedies {name}"))


@pytest.fixture(scope="module", params=[on(OLDEST, "oldest"), on(MACHINE, "this machine's"), on(NEWEST, "newest")])
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Rehearse all cases on one server: as they are, and as their findings say."""
    bindir = Path(os.environ.get("DRYRUN_TEST_POSTGRES", "/nowhere")) / str(request.param) / "bin"
    if request.param:
        require((bindir / "postgres").exists(), f"DRYRUN_TEST_POSTGRES names no folder with PostgreSQL {request.param}")
    workspace = Workspace.create(f"tests-remedies-{request.param}-{os.getpid()}")
    try:
        server = start("binaries", workspace=workspace, bindir=str(bindir) if request.param else "")
        try:
            yield _tried(server.conninfo, tmp_path_factory.mktemp("remedies"))
        finally:
            server.stop()
    finally:
        workspace.close()


def _tried(admin: Conninfo, folder: Path) -> Tried:
    with connect(admin) as connection:
        major = connection.info.server_version // 10_000
    cases = [case for case in CASES if case.since <= major]
    stand = Stand(admin, folder, cases)
    unsafe = stand.rehearse("unsafe", {case.name: case.sql(case.unsafe) for case in cases if not case.fails})
    assert not unsafe.failures
    printed = {case.name: _of(case, said(unsafe)) for case in cases if not case.fails}
    for case in cases:
        if case.fails:
            printed[case.name] = _of(case, said(stand.rehearse(case.schema, {case.name: case.sql(case.unsafe)})))
    pending = {}
    for case in cases:
        texts = [case.sql(case.unsafe)] if case.after and case.family is not Family.APART else []
        if case.family is Family.APART:
            texts = [case.sql(case.unsafe).partition(";")[0]]
        if printed[case.name]:
            texts += files(case, printed[case.name][0].message)
        pending |= {f"{case.name}.{number:02}": text for number, text in enumerate(texts)}
    safe = stand.rehearse("safe", pending)
    return Tried(major, printed, unsafe.after, stand.reached(), safe)


def _of(case: Case, findings: Sequence[Finding]) -> list[Finding]:
    """The findings of a case that print a remedy."""
    mine = [item for item in findings if str(item.migration).removesuffix(".sql") == case.name or _about(case, item)]
    return [item for item in mine if item.rule == case.rule and "remedy" in item.evidence]


def _about(case: Case, item: Finding) -> bool:
    """Whether it is about something in the case's schema, whichever statement is taken to have done it."""
    return f"{item.table or item.object or ''}".startswith(f"{case.schema}.")


def _schema(catalog: Catalog, case: Case) -> dict[tuple[str, str], Any]:
    """What a case's schema holds."""
    return {(item.kind, item.identity): dict(item.attributes) for item in catalog.objects if item.schema == case.schema}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_printed_is_safe_and_reaches_the_same(case: Case, tried: Tried) -> None:
    """The printed SQL leads to the schema of the unsafe form, and no finding of its kind is left."""
    if case.since > tried.major:  # the statement is new in a later version
        assert case.name not in tried.printed
        return
    assert {case.family_on(tried.major).value} == {item.evidence["remedy"] for item in tried.printed[case.name]}
    messages = [item.message for item in tried.printed[case.name]]
    if not case.online:
        assert not any(code for message in messages for code, _ in blocks(message))
        assert all("no online way" in message for message in messages) or case.family is Family.UNKNOWN
        return
    assert any(code for code, _ in blocks(messages[0]))
    assert not tried.safe.failures
    everything = said(tried.safe)
    mine = [item for item in everything if str(item.migration).startswith(f"{case.name}.") or _about(case, item)]
    assert [] == [item.message for item in mine if item.rule in HARM | {case.rule} and not _own(case, item)]
    wanted, got = (_schema(catalog, case) for catalog in (_wanted(case, tried), tried.safe.after))
    different = {key for key in wanted.keys() | got.keys() if wanted.get(key) != got.get(key)}
    assert different == {key for key in different if (key[0], key[1].rpartition(".")[2]) in case.differs}, (wanted, got)


def _own(case: Case, item: Finding) -> bool:
    """What the unsafe form itself reports, where the remedy comes after it, and what nobody can wait for."""
    if case.family is Family.POPULATE and item.rule == REWRITTEN:
        return True
    return case.after and str(item.migration) == f"{case.name}.00.sql" and item.rule != case.rule


def _wanted(case: Case, tried: Tried) -> Catalog:
    return tried.reached if case.reach else tried.unsafe


def test_every_remedy_is_tried() -> None:
    """No kind of remedy is without a case, and each is made at one place."""
    kinds = {case.family for case in CASES} | {case.old_family for case in CASES if case.old_family}
    assert set(Family) == kinds
    made = [
        ast.unparse(node.args[0])
        for path in sorted(PACKAGE.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Remedy"
    ]
    assert sorted(f"Family.{kind.name}" for kind in Family) == sorted(made)


def test_no_judge_has_a_remedy_of_its_own() -> None:
    """SQL that cures something stands in the package of remedies alone."""
    cure = re.compile(r"\b(ALTER (TABLE|DOMAIN|INDEX) |(CREATE|UNIQUE|DROP|REINDEX) INDEX |REFRESH MATERIALIZED)")
    found = []
    for path in sorted(PACKAGE.parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in documents else ""
            if isinstance(text, str) and cure.search(text):
                found.append(f"{path.name}: {text}")
    assert NO_REMEDIES == sorted(found)


def test_a_remedy_reads_well(tried: Tried) -> None:
    """Prose is short, SQL stands on lines of its own, and no line of prose is wider than a screenful."""
    for findings in tried.printed.values():
        for item in findings:
            assert len(prose(item.message)) < 900, item.message
