"""The decision in words, and its reasons in the order a person wants; a GO that its own document denies is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_dryrun.model.decision import ALWAYS_REQUIRED, TITLES
from pytest_dryrun.report import words
from pytest_dryrun.report.model import Report
from pytest_dryrun.report.text import inline, paragraphs

Document = Mapping[str, Any]

UNKNOWN = "Whether the target was migrated is not known here: look before running again."


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the decision is not GO: one red check, or a row of the matrix that no red check explains.

    `followers` are the checks that could not run and share one outcome and one reason, `blockers` the slugs of those
    that kept them from it, and `why` is the text without their names; a root cause has none of these.
    `todo` are paragraphs; `findings` the check's blockers.
    """

    title: str
    text: str
    outcome: words.Word
    number: str = ""
    slug: str = ""
    todo: tuple[str, ...] = ()
    findings: tuple[Mapping[str, Any], ...] = ()
    followers: tuple[Mapping[str, Any], ...] = ()
    blockers: tuple[str, ...] = ()
    why: str = ""


def settle(document: Document) -> dict[str, Any]:
    """The document with every addition present, and with NO-GO where its own content denies its GO.

    What denies it is added to the notes. Settling twice changes nothing more.
    """
    settled = Report.settled(document)
    denials = tuple(_denials(settled)) if settled["decision"] == "GO" else ()
    if settled["decision"] != "GO" or denials:
        settled["decision"] = "NO-GO"
        migrated = settled["target_migrated"] or settled["headline"] == "ROLLBACK & FIX"
        settled["headline"] = "ROLLBACK & FIX" if migrated else "NO-GO"
    else:
        settled["headline"] = "GO"
    settled["notes"] = [*settled["notes"], *(f"The run's GO is not accepted: {denial}." for denial in denials)]
    return settled


def _denials(document: Document) -> Iterator[str]:
    if document["finished"] is not True:
        yield "the run has not ended"
    criteria = {row["id"]: row for row in document["criteria"]}
    for name in (name for name in TITLES if name in ALWAYS_REQUIRED):
        if name not in criteria or criteria[name]["required"] is not True:
            yield f"criterion {name} is missing or not required, and it cannot be dropped"
    for row in criteria.values():
        if row["required"] is not False and row["met"] is not True:
            yield f"criterion {row['id']} is {words.criterion(row).word}"
    for check in red(document):
        yield f"check {check['number']} {check['slug']} is {words.outcome(check['outcome']).word}"


def red(document: Document) -> list[Mapping[str, Any]]:
    """The blocking checks of required criteria that came to anything but passed, waived or not applicable."""
    dropped = {row["id"] for row in document["criteria"] if row["required"] is False}
    return [
        check
        for check in document["checks"]
        if check["blocking"] and check["outcome"] not in words.HARMLESS and check["criterion"] not in dropped
    ]


def tally(checks: Iterable[Mapping[str, Any]]) -> str:
    """How many checks came to what: `38 passed, 1 failed`."""
    outcomes = Counter(check["outcome"] for check in checks)
    known = [name for name in words.OUTCOMES if outcomes[name]]
    named = [*known, *sorted(set(outcomes) - set(words.OUTCOMES))]
    return ", ".join(f"{outcomes[name]} {words.outcome(name).word}" for name in named) or "no check was run"


def sentence(document: Document) -> str:
    """The decision in one sentence, for the document that `settle` returned."""
    if document["finished"] is not True:
        migrated = "The target was already being migrated." if document["headline"] == "ROLLBACK & FIX" else UNKNOWN
        return f"Unfinished: this run has not ended or was killed, so nothing may be signed. {migrated}"
    required = [row for row in document["criteria"] if row["required"] is not False]
    states = Counter(words.criterion(row).word for row in required)
    if document["decision"] == "GO":
        return f"All {len(required)} required criteria are met ({tally(document['checks'])})."
    unmet, undetermined = states[words.NOT_MET.word], states[words.UNDETERMINED.word]
    counts = [(unmet, words.NOT_MET.word), (undetermined, words.UNDETERMINED.word)]
    parts = [f"{number} {'is' if number == 1 else 'are'} {word}" for number, word in counts if number]
    state = f"Of {len(required)} required criteria {' and '.join(parts)}" if parts else "No criterion speaks for a GO"
    summary = f"{state} ({tally(document['checks'])})."
    if document["headline"] == "ROLLBACK & FIX":
        state = "was migrated and has been rolled back" if document["rolled_back"] else "is already migrated"
        if document["rollback"]["outcome"] == "unknown":
            state = "was migrated; whether it has been rolled back is not known"
        steps = filter(None, [before_fixing(document, "it"), "fix the reasons below", "run again"])
        return f"{summary} The target {state}: {', '.join(steps)}."
    return f"{summary} {UNKNOWN if document['state_unknown'] else 'The target was not migrated.'}"


def before_fixing(document: Document, target: str = "the target") -> str:
    """What is to be done with the target, called so, before anything is fixed; empty where it is what it was."""
    if document["headline"] != "ROLLBACK & FIX" or document["rolled_back"]:
        return ""
    unknown = document["rollback"]["outcome"] == "unknown"
    return f"look whether {target} is rolled back" if unknown else f"roll {target} back"


@dataclass(frozen=True, slots=True)
class WayBack:
    """How a target comes back, or what became of it: a title, what was done, and what is left to be typed and where."""

    title: str
    said: tuple[str, ...]
    commands: tuple[str, ...]
    host: str


_WAYS = {
    "": "How to roll back",
    "done": "Rolled back",
    "incomplete": "Rolled back, but not everything works again",
    "interrupted": "Rolled back; the application was not tried to the end",
    "failed": "Not rolled back: this has to be done by hand",
    "unknown": "Whether it was rolled back is not known: look before anything is typed",
}


TYPED = "one command, which asks for the password of PGUSER: a superuser, or one who owns everything"


def way_back(document: Document) -> WayBack | None:
    """The way back of the target, for the document that `settle` returned; None where the run never came so far."""
    told = document["rollback"]
    if not told["commands"] and not told["said"]:
        return None
    left = () if document["rolled_back"] else tuple(told["commands"])
    return WayBack(_WAYS.get(told["outcome"], _WAYS["failed"]), tuple(told["said"]), left, told["host"])


def reasons(document: Document) -> list[Reason]:
    """Why it is not GO: root causes first, then rows that no red check explains, then what could not run."""
    if document["decision"] == "GO":
        return []
    red_checks = red(document)
    roots = _roots(red_checks)
    groups: dict[tuple[str, str, tuple[str, ...], str], list[Mapping[str, Any]]] = {}
    for check in red_checks:
        if check["outcome"] in {"blocked", "not-run"}:
            by = tuple(check["blocked_by"])
            groups.setdefault((check["outcome"], check["reason"], by, own_reason(check)), []).append(check)
    found = [_root(check) for check in roots]
    rows: dict[tuple[words.Word, str], list[str]] = {}
    for row in document["criteria"]:
        own = unexplained(row, red_checks)
        if row["required"] is not False and row["met"] is not True and own:
            rows.setdefault((words.criterion(row), "\n".join(own)), []).append(row["title"])
    found += [Reason("; ".join(titles), text, state) for (state, text), titles in rows.items()]
    for (outcome, text, blockers, why), checks in groups.items():
        checks_in_words = "1 check" if len(checks) == 1 else f"{len(checks)} checks"
        title = f"{checks_in_words} {words.outcome(outcome).word}"
        found.append(
            Reason(
                title,
                text or "No reason was given.",
                words.outcome(outcome),
                followers=tuple(checks),
                blockers=blockers,
                why=why,
            )
        )
    if not found:
        text = "The report holds no reason for this decision. Treat it as an error of the plugin, and as NO-GO."
        found.append(Reason("No reason was recorded", text, words.UNDETERMINED))
    return found


def unexplained(row: Mapping[str, Any], red_checks: list[Mapping[str, Any]]) -> list[str]:
    """The reasons of a row that come from none of its checks; a row without red checks and reasons gets one."""
    own = any(check["criterion"] == row["id"] or check["slug"] in row["checks"] for check in red_checks)
    rest = row["reasons"] if row["own_reasons"] is None else row["own_reasons"]
    return list(rest) if rest or own else ["No reason was given."]


def row_reasons(document: Document, row: Mapping[str, Any]) -> list[str]:
    """Why a row is what it is, shortly: its red checks, what those kept from running in one line, and the rest.

    The whole reason of a check stands at the check itself.
    """
    if row["required"] is False:
        return [str(reason) for reason in row["reasons"][:1]]
    red_checks = red(document)
    own = [check for check in red_checks if check["criterion"] == row["id"] or check["slug"] in row["checks"]]
    found = [f"{check['number']} {check['slug']}: {words.outcome(check['outcome']).word}" for check in _roots(own)]
    waiting: dict[str, list[str]] = {}
    for check in own:
        if check["outcome"] in {"blocked", "not-run"}:
            waiting.setdefault(kept_by(check, document), []).append(check["number"])
    found += [f"{why}: {', '.join(numbers)}" for why, numbers in waiting.items()]
    return [*found, *(unexplained(row, red_checks) if row["met"] is not True else ())]


def kept_by(check: Mapping[str, Any], document: Document) -> str:
    """What a check that did not run came to and which checks kept it from running: `blocked by 4.2 safe-defaults`."""
    numbers = {one["slug"]: one["number"] for one in document["checks"]}
    by = " and ".join(f"{numbers.get(slug, '')} {slug}".strip() for slug in check["blocked_by"])
    state = words.outcome(check["outcome"]).word
    return f"{state} by {by}" if by else state


def _roots(checks: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [check for check in checks if check["outcome"] not in {"blocked", "not-run"}]


def own_reason(check: Mapping[str, Any], *, named: bool = False) -> str:
    """What a check says beside its findings and the checks that blocked it, which are shown themselves.

    With `named` it names those checks, for where they are not shown.
    """
    if check["own_reason"] is None or (named and check["blocked_by"]):
        return str(check["reason"])
    return str(check["own_reason"])


def placed(finding: Mapping[str, Any]) -> str:
    """What a finding says, with the migration and line where it does not name them itself."""
    message, migration = str(finding["message"]), finding["migration"]
    if not migration or migration in message:
        return message
    head, line_feed, rest = message.partition("\n")
    where = f"({migration}:{finding['line']})" if finding["line"] else f"({migration})"
    return f"{head} {where}{line_feed}{rest}"


def _todo(text: str) -> str:
    """The last paragraph of a check's docstring as an answer to "What to do"."""
    advice = text.removeprefix("When it is red: ")
    return advice[:1].upper() + advice[1:]


def _root(check: Mapping[str, Any]) -> Reason:
    blockers = [item for item in check["findings"] if item["severity"] == "blocker" and not item["waived"]]
    return Reason(
        title=inline(check["title"]),
        text=own_reason(check) or ("" if blockers else "No reason was given."),
        outcome=words.outcome(check["outcome"]),
        number=check["number"],
        slug=check["slug"],
        todo=tuple(_todo(text) for text in paragraphs(check["explanation"])[-1:]),
        findings=tuple(blockers),
    )
