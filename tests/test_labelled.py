"""The labelled set keeps its form, its proofs show what they claim, and its runner tells right from wrong."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_dryrun.model.rules import RULES

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))
try:
    import labelled
    import labels
    import proofs
finally:
    sys.path.remove(str(BENCH))

SET = labels.read()
NAMED = {one.name: one for one in SET}


def test_the_set_is_large_and_about_half_of_it_is_unsafe():
    """At least 150 migrations; neither label is rarer than two in five."""
    unsafe = sum(one.unsafe for one in SET)
    assert len(SET) >= 150
    assert 0.4 <= unsafe / len(SET) <= 0.6
    assert unsafe >= 75


@pytest.mark.parametrize("family", labels.FAMILIES)
def test_every_family_has_five_of_each_label(family):
    """No family is judged by one side alone."""
    count = Counter(one.unsafe for one in SET if one.family == family)
    assert count[True] >= 5
    assert count[False] >= 5


def test_no_file_lies_outside_the_families():
    """What is in the folder is in the set."""
    files = {path.relative_to(labels.FOLDER) for path in labels.FOLDER.rglob("*.sql") if path.parent != labels.BASES}
    assert {Path(one.family, f"{one.name}.sql") for one in SET} == files


def test_names_are_unique():
    """A name stands for one migration, whatever its family."""
    assert [] == [name for name, count in Counter(one.name for one in SET).items() if count > 1]


def test_every_file_says_what_is_needed():
    """A base that exists, rules that exist, pending files; rules for the unsafe, none but warnings for the safe."""
    bases = {path.stem for path in labels.BASES.glob("*.sql")}
    for one in SET:
        assert one.base in bases, one.name
        assert one.pending, one.name
        assert one.sentence.endswith("."), one.name
        assert one.scale >= 1, one.name
        assert set(RULES) >= one.rules | one.told, one.name
        assert bool(one.rules) == one.unsafe, one.name
        assert not (one.told and one.unsafe), one.name


def test_every_unsafe_one_has_a_proof_of_its_harm_and_no_safe_one_has_any():
    """The kinds are those that the proofs know; calm is shown for many of the safe ones."""
    for one in SET:
        kinds = {proof.kind for proof in one.proofs}
        assert kinds <= set(labels.HARMS if one.unsafe else labels.CALMS), one.name
        assert kinds or not one.unsafe, one.name
        assert all(proof.script.strip() or proof.kind == "stops" for proof in one.proofs), one.name
    assert sum(bool(one.proofs) for one in SET if not one.unsafe) >= 15


def test_no_file_says_what_is_only_for_one_machine():
    """Neither paths nor hosts."""
    for path in labels.FOLDER.rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("/tmp", "/home/", "localhost")), path.name  # noqa: S108


def test_a_key_that_is_misspelled_is_refused(tmp_path):
    """Otherwise its value would be left out in silence."""
    (tmp_path / "columns").mkdir()
    text = "-- family: columns\n-- label: safe\n-- why: It is.\n-- bse: clinic\n-- @pending\nSELECT 1;\n"
    (tmp_path / "columns" / "a.sql").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"columns/a\.sql: .*bse"):
        labels.read(tmp_path)


def report(decision: str, *findings: tuple[str, str]) -> dict[str, object]:
    """Build as much of a report as is read."""
    told = [{"rule": rule, "severity": severity, "message": "m", "waived": False} for rule, severity in findings]
    return {"finished": True, "decision": decision, "findings": told, "checks": []}


UNSAFE = replace(SET[0], unsafe=True, rules=frozenset({"rows-lost", "truncated"}), told=frozenset())
SAFE = replace(SET[0], unsafe=False, rules=frozenset(), told=frozenset())
WARNED = replace(SAFE, told=frozenset({"cascade-added"}))
LOST, WARNING = ("rows-lost", "blocker"), ("cascade-added", "warning")


@pytest.mark.parametrize(
    ("migration", "document", "status", "wrong"),
    [
        pytest.param(UNSAFE, report("NO-GO", LOST), 1, "", id="unsafe, stopped for its reason"),
        pytest.param(UNSAFE, report("GO", ("rows-lost", "warning")), 0, "passed", id="unsafe, and GO"),
        pytest.param(UNSAFE, report("NO-GO", ("renamed", "blocker")), 1, "other reason", id="unsafe, another rule"),
        pytest.param(UNSAFE, report("NO-GO", ("rows-lost", "info")), 1, "other reason", id="unsafe, only mentioned"),
        pytest.param(SAFE, report("GO"), 0, "", id="safe, and GO"),
        pytest.param(SAFE, report("NO-GO", LOST), 1, "stopped", id="safe, and stopped"),
        pytest.param(SAFE, report("NO-GO"), 1, "stopped", id="safe, stopped without a finding"),
        pytest.param(WARNED, report("GO", WARNING), 0, "", id="the warning that is due"),
        pytest.param(WARNED, report("GO", ("cascade-added", "info")), 0, "untold", id="the warning is missing"),
        pytest.param(SAFE, report("GO"), 1, "broken", id="exit status against decision"),
        pytest.param(UNSAFE, report("NO-GO", LOST), 3, "broken", id="an internal error"),
        pytest.param(UNSAFE, {**report("NO-GO"), "finished": False}, 1, "broken", id="a run that was killed"),
        pytest.param(SAFE, None, 4, "broken", id="no report"),
    ],
)
def test_a_verdict_is_held_against_the_label(migration, document, status, wrong):
    """Each way to be wrong has its name, and no other way to be right is let through."""
    assert wrong == labelled.judge(migration, document, status, "said", 1.0).wrong


def test_a_waived_finding_and_advice_are_no_reason():
    """What does not stop a migration does not count as having stopped it."""
    document = report("NO-GO", LOST, ("lint/require-timeout", "blocker"))
    document["findings"][0]["waived"] = True  # type: ignore[index]
    told = labelled.judge(UNSAFE, document, 1, "", 1.0)
    assert ("other reason", ()) == (told.wrong, told.rules)


def test_the_document_counts_and_names_what_is_wrong():
    """Nothing wrong is hidden behind a number."""
    passed = labelled.judge(UNSAFE, report("GO"), 0, "", 2.0)
    right = labelled.judge(SAFE, report("GO"), 0, "", 4.0)
    found = labelled.document([passed, right], [proofs.Shown("a", "fails", "it did not")], 9.0)
    assert (2, 1, 1) == (found["migrations"], found["unsafe"], found["safe"])
    assert [UNSAFE.name] == [one["name"] for one in found["wrong"]["passed"]]
    assert ["a"] == [one["migration"] for one in found["proofs_failed"]]
    assert labelled.wrong(found)
    assert not labelled.wrong(labelled.document([right], [], 4.0))


@pytest.mark.live
@pytest.mark.usefixtures("postgres")  # skipped by name where this machine has no server programs
def test_proofs_show_harm_and_only_where_it_is():
    """A lost column, rows and a lock are shown on a plain server; the same scripts show nothing on calm migrations."""
    names = ["drop-patient-phone", "delete-cascades", "set-unlogged", "check-scans-big-table", "fillfactor"]
    calm = NAMED["add-nullable-column"]
    with proofs.plain() as server:
        for name in names:
            assert [""] == [one.reason for one in proofs.show(server, NAMED[name])], name
        for name in ("drop-patient-phone", "delete-cascades", "set-unlogged"):
            [shown] = proofs.show(server, replace(calm, proofs=NAMED[name].proofs))
            assert shown.reason, name
        blocked = replace(NAMED["fillfactor"], proofs=NAMED["check-scans-big-table"].proofs)
        assert "while it stood open" in proofs.show(server, blocked)[0].reason
        broken = replace(calm, pending=("ALTER TABLE nowhere ADD COLUMN x int;",))
        assert "the migration failed with" in proofs.show(server, broken)[0].reason


@pytest.mark.live
@pytest.mark.usefixtures("postgres")
def test_the_plugin_is_run_as_a_user_runs_it(tmp_path):
    """One of each label ends as it should, and what is kept can be read."""
    some = [NAMED[name] for name in ("truncate", "add-nullable-column")]
    told = list(labelled.run_all(some, jobs=2, keep=tmp_path))
    assert [("NO-GO", ""), ("GO", "")] == [(one.decision, one.wrong) for one in told]
    assert all((tmp_path / one.name / "reports" / "local" / "report.json").exists() for one in some)
