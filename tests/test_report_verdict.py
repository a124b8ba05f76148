"""A GO that its own document denies is none, and no NO-GO is without a reason."""

from __future__ import annotations

import functools
import html
from typing import Any

import pytest
import sample_documents as samples
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from pytest_dryrun.model.values import Outcome
from pytest_dryrun.report import annex, checklist, history, page, terminal, verdict
from pytest_dryrun.report.parts import Table
from pytest_dryrun.report.schema import load_schema

EVERY = [samples.go, samples.no_go, samples.rollback_and_fix, samples.unfinished, samples.empty]


def unfinished(document: Any) -> None:
    """Take the end of the run away."""
    document["finished"] = False


def undetermined(document: Any) -> None:
    """Leave one row open."""
    document["criteria"][3]["met"] = None


def dropped(document: Any) -> None:
    """Call a row not required that guards data."""
    document["criteria"][1]["required"] = False


def missing(document: Any) -> None:
    """Lose a row that guards data."""
    del document["criteria"][7]


def nothing(document: Any) -> None:
    """Lose the matrix."""
    document["criteria"] = []


def red(document: Any) -> None:
    """Let one blocking check be red."""
    document["checks"][20]["outcome"] = "blocked"


@pytest.mark.parametrize("spoil", [unfinished, undetermined, dropped, missing, nothing, red])
def test_a_go_that_its_document_denies_is_no_go_everywhere(spoil: Any) -> None:
    """No renderer shows a GO that was not earned, and the note says what denies it."""
    document = samples.go()
    spoil(document)
    settled = verdict.settle(document)
    assert "NO-GO" == settled["decision"]
    assert "ROLLBACK & FIX" == settled["headline"]
    assert settled["notes"][-1].startswith("The run's GO is not accepted: ")
    assert verdict.reasons(settled)
    assert "✘&#xFE0E;</span>ROLLBACK &amp; FIX" in page.render(document)
    assert "<strong>ROLLBACK &amp; FIX</strong>" in annex.matrix_html(document)
    assert "**ROLLBACK \\& FIX**" in checklist.render(document)
    assert terminal.lines(document, width=200, color=False)[-2].startswith("ROLLBACK & FIX: ")


def test_a_headline_alone_makes_no_go_of_nothing() -> None:
    """The headline GO beside the decision NO-GO is not shown."""
    document = samples.no_go()
    document["headline"] = "GO"
    assert "NO-GO" == verdict.settle(document)["headline"]


@pytest.mark.parametrize("sample", EVERY)
def test_settling_twice_changes_nothing_more(sample: Any) -> None:
    """What was settled is settled."""
    settled = verdict.settle(sample())
    assert settled == verdict.settle(settled)


OUTCOMES = st.lists(st.sampled_from(list(Outcome)), min_size=36, max_size=36)
MET = st.lists(st.sampled_from([True, False, None]), min_size=8, max_size=8)


@given(OUTCOMES, MET, st.booleans())
def test_every_no_go_has_a_reason_and_every_go_has_none(outcomes: Any, met: Any, finished: bool) -> None:  # noqa: FBT001
    """Whatever a document holds: GO without a reason against it, or NO-GO with at least one."""
    document = samples.go()
    document["finished"] = finished
    for check, outcome in zip(document["checks"], outcomes, strict=True):
        check["outcome"] = outcome.value
    for row, answer in zip(document["criteria"], met, strict=True):
        row["met"] = answer
    settled = verdict.settle(document)
    harmless = {"passed", "waived", "not-applicable"}
    earned = finished and all(met) and all(c["outcome"] in harmless for c in document["checks"] if c["blocking"])
    assert ("GO" if earned else "NO-GO") == settled["decision"]
    assert earned == (not verdict.reasons(settled))
    assert all(reason.title and (reason.text or reason.findings) for reason in verdict.reasons(settled))


def test_reasons_are_root_causes_first_and_followers_together() -> None:
    """Three causes in the checklist's order, then the seventeen checks they kept from running, in one."""
    reasons = verdict.reasons(verdict.settle(samples.no_go()))
    assert ["1.2", "4.2", "4.3", ""] == [reason.number for reason in reasons]
    assert "17 checks blocked" == reasons[-1].title
    assert f"{samples.BLOCKED}: the target was not touched" == reasons[-1].text
    assert ("no-destructive-operations", "safe-defaults") == reasons[-1].blockers
    assert "the target was not touched" == reasons[-1].why


def test_a_reason_that_belongs_to_no_check_is_not_lost() -> None:
    """An interrupted run stands among the reasons even where its row has red checks of its own."""
    document = samples.no_go()
    samples.judge(
        document,
        "no-p0",
        met=False,
        reasons=["the run was interrupted", "1.2 database-credentials broken: x"],
        own=["the run was interrupted"],
    )
    reasons = verdict.reasons(verdict.settle(document))
    assert ["the run was interrupted"] == [reason.text for reason in reasons if reason.title == "No P0 bugs detected"]
    assert "      the run was interrupted" in terminal.lines(document, width=100, color=False)


def test_a_no_go_without_any_reason_says_that_it_is_an_error() -> None:
    """An empty document does not pass for a clear decision."""
    assert "Treat it as an error of the plugin" in page.render(samples.empty())


def test_a_rolled_back_target_is_called_so() -> None:
    """After the rollback has run on the target nobody is told to roll back again."""
    document = samples.rollback_and_fix()
    assert "roll it back" in verdict.sentence(verdict.settle(document))
    document["rolled_back"] = True
    assert "has been rolled back" in verdict.sentence(verdict.settle(document))
    assert "Roll the target back" not in page.render(document)


@pytest.mark.parametrize(
    ("outcome", "is_back", "sentence", "step", "entry"),
    [
        (
            "",
            False,
            "is already migrated: roll it back, fix",
            "Roll the target back, fix the reasons",
            "Target: migrated\n",
        ),
        (
            "unknown",
            False,
            "was migrated; whether it has been rolled back is not known: look whether it is rolled back, fix",
            "Look whether the target is rolled back, fix the reasons",
            "Target: migrated; whether it was rolled back is not known\n",
        ),
        (
            "interrupted",
            True,
            "was migrated and has been rolled back: fix",
            "Fix the reasons",
            "Target: migrated, then rolled back, the application not tried\n",
        ),
        ("incomplete", True, "has been rolled back: fix", "Fix the reasons", "rolled back and not working\n"),
    ],
)
def test_every_end_of_a_rollback_is_told_alike_everywhere(outcome, is_back, sentence, step, entry) -> None:
    """The terminal's sentence, the next step on the page and in the list, and the entry that stays."""
    document = samples.rollback_and_fix()
    document["rolled_back"] = is_back
    document["rollback"] = {"host": "staging", "commands": ["dropdb"], "outcome": outcome, "said": ["so it is"]}
    validator().validate(document)
    assert sentence in verdict.sentence(verdict.settle(document))
    assert step in page.render(document)
    assert f"{step[0].lower()}{step[1:]}" in checklist.render(document)
    assert entry in history.entry(document)
    assert ("dropdb" in page.render(document)) is not is_back


def test_a_state_that_nobody_told_is_called_unknown() -> None:
    """A worker that was lost may have migrated the target: 'not migrated' would be made up."""
    document = samples.no_go()
    assert verdict.sentence(verdict.settle(document)).endswith("The target was not migrated.")
    document["state_unknown"] = True
    assert "Whether the target was migrated is not known here" in verdict.sentence(verdict.settle(document))


@pytest.mark.parametrize("render", [page.render, checklist.render], ids=["page", "checklist"])
def test_the_way_back_can_be_typed_from_the_report(render: Any) -> None:
    """Every command whole, where it is to be typed, and nothing to be typed once it was done."""
    document = samples.rollback_and_fix()
    shown = html.unescape(render(document))
    assert all(command in shown for command in document["rollback"]["commands"])
    assert "deploy@staging" in shown
    document["rolled_back"] = True
    document["rollback"] |= {"outcome": "done", "said": ["12 tables are those of the backup."]}
    shown = html.unescape(render(document))
    assert "Rolled back" in shown
    assert "12 tables are those of the backup" in shown
    assert "dropdb" not in shown


@pytest.mark.parametrize("width", [20, 40, 80])
def test_commands_to_be_typed_are_never_broken(width: int) -> None:
    """One command a line, however narrow the terminal, with every space that it quotes; on paper and page too."""
    document = samples.rollback_and_fix()
    document["rollback"]["commands"].append("cd '/srv/two  spaces'")
    lines = terminal.lines(document, width=width, color=False)
    first = lines.index(document["rollback"]["commands"][0])
    count = len(document["rollback"]["commands"])
    assert document["rollback"]["commands"] == lines[first : first + count]
    block = "\n".join(document["rollback"]["commands"])
    assert f"```\n{block}\n```" in checklist.render(document)
    shown = page.render(document)
    assert f'<pre class="block typed">{html.escape(block, quote=False).replace(chr(39), "&#39;")}</pre>' in shown
    assert "pre.typed { white-space: pre;" in shown


def test_the_terminal_prints_the_way_back_where_it_is_needed() -> None:
    """Each command unbroken by a limit of length; nothing of it under a GO; what kept it from being done, if it was."""
    document = samples.rollback_and_fix()
    told = " ".join(line.strip() for line in terminal.lines(document, width=400, color=False))
    assert all(command in told for command in document["rollback"]["commands"])
    document["rollback"] |= {"outcome": "failed", "said": ["The connection was lost."]}
    told = " ".join(line.strip() for line in terminal.lines(document, width=400, color=False))
    assert "Not rolled back: this has to be done by hand The connection was lost. To be typed on deploy@staging" in told
    document = samples.go() | {"rollback": document["rollback"] | {"outcome": "", "said": []}}
    assert "dropdb" not in " ".join(terminal.lines(document, width=400, color=False))
    assert "dropdb" in page.render(document)


@functools.cache
def validator() -> Draft202012Validator:
    """The shipped schema, itself checked."""
    Draft202012Validator.check_schema(load_schema())
    return Draft202012Validator(load_schema())


@pytest.mark.parametrize("sample", EVERY)
def test_sample_documents_keep_the_schema(sample: Any) -> None:
    """Every sample, raw and settled, is a valid report."""
    validator().validate(sample())
    validator().validate(verdict.settle(sample()))


def set_path(document: Any, path: str, value: Any) -> None:
    """Set one value deep in a document; DELETE removes it."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parents:
        document = document[part]
    if value == "DELETE":
        del document[last]
    else:
        document[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", 1),
        ("decision", "MAYBE"),
        ("finished", False),
        ("finished", "yes"),
        ("headline", "NO-GO"),
        ("finished_at", None),
        ("started_at", "yesterday"),
        ("role", "laptop"),
        ("criteria/0/met", None),
        ("criteria/1/required", False),
        ("criteria", []),
        ("criteria/0/id", "luck"),
        ("checks/0/outcome", "green"),
        ("checks/0/number", "one"),
        ("checks/0/facts", "DELETE"),
        ("checks/10/findings/0/severity", "fatal"),
        ("statements/0/line", -1),
        ("statements/0/count", 0),
        ("tables/0/change", "some"),
        ("tables/0/rows_before", -1),
        ("backup/sha256", "9f2c"),
        ("backup", "DELETE"),
        ("artifacts/signoff", 5),
        ("migrations/pending", "none"),
        ("findings", "DELETE"),
    ],
)
def test_the_schema_refuses(path: str, value: Any) -> None:
    """A report that breaks a promise of the contract is refused, an unearned GO too."""
    document = samples.go()
    set_path(document, path, value)
    with pytest.raises(ValidationError):
        validator().validate(document)


def test_the_schema_allows_additions_everywhere() -> None:
    """New fields are free, at the top and deep inside."""
    document = samples.go()
    for place in (document, document["checks"][0], document["criteria"][0], document["tables"][0], document["backup"]):
        place["novelty"] = {"any": ["thing"]}
    validator().validate(document)


def test_a_document_without_additions_renders() -> None:
    """The promised fields alone are enough for every renderer."""
    schema = load_schema()
    document = {key: value for key, value in samples.no_go().items() if key in schema["required"]}
    for check in document["checks"]:
        del check["explanation"], check["section_title"], check["own_reason"]
    for row in document["criteria"]:
        row.pop("own_reasons", None)
    for table in document["tables"]:
        for name in Table.model_fields.keys() - schema["$defs"]["Table"]["required"]:
            del table[name]
    validator().validate(document)
    assert "NO-GO" in page.render(document)
    assert "NO-GO" in checklist.render(document)
    assert terminal.lines(document, width=80, color=False)[-2:]


def test_a_row_says_shortly_why_it_is_not_met() -> None:
    """One entry a red check, one for all that it kept from running, and the row's own reasons; no message twice."""
    document = samples.no_go()
    samples.judge(document, "no-data-loss", met=False, reasons=["4.2 no-destructive-operations failed: " + "x" * 900])
    document = verdict.settle(document)
    rows = {row["id"]: verdict.row_reasons(document, row) for row in document["criteria"]}
    blocked = "blocked by 4.2 no-destructive-operations and 4.3 safe-defaults: "
    assert ["4.2 no-destructive-operations: failed", f"{blocked}6.1, 6.2, 6.3, 6.4"] == rows["no-data-loss"]
    assert ["1.2 database-credentials: broken"] == rows["no-p0"][:1]
    for render in (page.render, checklist.render, annex.matrix_html):
        assert f"{blocked}6.1, 6.2, 6.3, 6.4" in html.unescape(render(document))
        assert "x" * 900 not in render(document)


def test_a_row_that_is_not_required_says_only_why() -> None:
    """What its checks came to decides nothing."""
    document = verdict.settle(samples.rollback_and_fix())
    row = next(row for row in document["criteria"] if row["id"] == "crud-pass")
    assert ["this repository has no API"] == verdict.row_reasons(document, row)
    row["reasons"].append("7.1 api-health failed")
    assert ["this repository has no API"] == verdict.row_reasons(document, row)


def test_what_to_do_begins_with_what_to_do() -> None:
    """The words that a check's docstring puts before its advice stand on the page already."""
    document = samples.no_go()
    samples.amend(document, "safe-defaults", explanation="Why.\n\nWhen it is red: take the other form.")
    assert ("Take the other form.",) == verdict.reasons(verdict.settle(document))[2].todo


def test_a_reason_is_not_shown_beside_what_it_repeats() -> None:
    """What findings and links say is left out; a report that does not tell them apart shows the whole reason."""
    check = samples.check("1.1", "x", "no-p0", "X", reason="its own\nfirst row", own_reason="its own")
    assert "its own" == verdict.own_reason(check) == verdict.own_reason(check, named=True)
    check |= {"reason": "blocked by 1.2 y: its own", "blocked_by": ["y"]}
    assert "its own" == verdict.own_reason(check)
    assert "blocked by 1.2 y: its own" == verdict.own_reason(check, named=True)
    check["own_reason"] = None
    assert "blocked by 1.2 y: its own" == verdict.own_reason(check)
    check |= {"reason": "blocked: its rows are elsewhere", "blocked_by": [], "own_reason": ""}
    assert "" == verdict.own_reason(check)


def test_a_row_that_does_not_tell_its_own_reasons_apart_shows_them_all() -> None:
    """A reason is rather shown twice than lost."""
    document = samples.no_go()
    reason = "1.2 database-credentials broken: x"
    samples.judge(document, "no-p0", met=False, reasons=[reason], own=None)
    row = next(row for row in document["criteria"] if row["id"] == "no-p0")
    assert [reason] == verdict.unexplained(row, verdict.red(document))
    row["own_reasons"] = []
    assert [] == verdict.unexplained(row, verdict.red(document))
