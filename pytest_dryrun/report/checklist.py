"""checklist.md: the checklist as a person would have kept it, boxes ticked and blanks filled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_dryrun.model.messages import blocks
from pytest_dryrun.report import folding, text, verdict, words
from pytest_dryrun.report.markdown import escape

BLANK = "______________________"


def render(document: verdict.Document) -> str:
    """The checklist in Markdown for one document, as it is in report.json."""
    settled = verdict.settle(document)
    parts = [
        _head(settled),
        _reasons(settled),
        _matrix(settled),
        _notes(settled),
        _way_back(settled),
        _checks(settled),
        _sign_off(settled),
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(document: verdict.Document) -> Iterator[str]:
    project, migrations, backup = document["project"], document["migrations"], document["backup"] or {}
    yield f"# Migration dry run: {escape(project['name'] or 'database')}, target {escape(document['target'])}"
    yield ""
    yield f"**{escape(document['headline'])}**: {escape(verdict.sentence(document))}"
    yield ""
    yield f"- Run: {escape(document['run_id']) or text.UNKNOWN}"
    yield f"- Started: {text.instant(document['started_at'])}"
    yield f"- Finished: {text.instant(document['finished_at'])}"
    if document["finished"] is True or migrations["pending"]:
        yield f"- Migrations: {len(migrations['applied'])} applied of {len(migrations['pending'])} pending"
    else:
        yield "- Migrations: not known yet"
    for name in migrations["pending"]:
        state = "applied" if name in migrations["applied"] else "not applied"
        yield f"  - {escape(name)}: {state}"
    if backup.get("file"):
        size = text.size(backup["size_bytes"])
        yield f"- Backup: {escape(backup['file'])}, {size}, sha256 {escape(backup['sha256'])}"
    else:
        yield "- Backup: none was made" if document["finished"] is True else "- Backup: not known yet"
    yield ""


def _reasons(document: verdict.Document) -> Iterator[str]:
    reasons = verdict.reasons(document)
    if not reasons:
        return
    yield "## Why it is not GO"
    yield ""
    for place, reason in enumerate(reasons, start=1):
        yield f"{place}. **{escape(f'{reason.number} {reason.title}'.strip())}** ({reason.outcome.word})"
        shown = folding.findings(reason.findings, folding.MOST_REASONS_OF_A_RULE)
        if reason.text.strip():
            yield f"   - {escape(text.clip(reason.text, 2000))}"
        for finding in shown.items:
            yield from _said("   - ", text.clip(verdict.placed(finding), 2000))
        lines = list(shown.more)
        if reason.followers:
            lines.append(", ".join(f"{check['number']} {check['slug']}" for check in reason.followers))
        lines += [f"What to do: {todo}" for todo in reason.todo]
        for line in lines:
            if line.strip():
                yield f"   - {escape(text.clip(line, 2000))}"
    yield ""


def _fenced(lines: Iterable[str]) -> Iterator[str]:
    """Lines of code between fences that are longer than any in them."""
    typed = list(lines)
    longest = max((len(run) for line in typed for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence, *typed, fence)


def _said(start: str, message: str) -> Iterator[str]:
    """A message as an item of a list; its code stands between fences."""
    margin = " " * (len(start) - len(start.lstrip()) + 2)
    for code, part in blocks(message):
        if code:
            yield from (margin + line for line in _fenced(map(text.command, part.splitlines())))
        elif part.strip():
            yield start + escape(part)
            start = margin


def _matrix(document: verdict.Document) -> Iterator[str]:
    numbers = {check["slug"]: check["number"] for check in document["checks"]}
    yield "## Decision"
    yield ""
    yield "| Criterion | Result | Reasons | Checks |"
    yield "| --- | --- | --- | --- |"
    for row in document["criteria"]:
        state = words.criterion(row)
        reasons = "; ".join(escape(text.clip(reason, 1000)) for reason in verdict.row_reasons(document, row))
        checks = ", ".join(escape(numbers.get(slug, slug)) for slug in row["checks"])
        yield f"| {escape(row['title'])} | {state.mark} {state.word} | {reasons} | {checks} |"
    yield f"| **Decision** | **{escape(document['headline'])}** | | |"
    yield ""


def _notes(document: verdict.Document) -> Iterator[str]:
    for title, items in (("Notes", document["notes"]), ("Not verified", document["not_verified"])):
        if items:
            yield f"## {title}"
            yield ""
            shown = folding.some(items)
            yield from (f"- {escape(item)}" for item in (*shown.items, *shown.more))
            yield ""


def _way_back(document: verdict.Document) -> Iterator[str]:
    way = verdict.way_back(document)
    if way is None:
        return
    yield f"## {way.title}"
    yield ""
    yield from (f"- {escape(said)}" for said in way.said)
    if way.said:
        yield ""
    if way.commands:
        yield f"To be typed on {escape(way.host)}; {verdict.TYPED}:"
        yield ""
        yield from _fenced(text.command(command) for command in way.commands)
    yield ""


def _checks(document: verdict.Document) -> Iterator[str]:
    titles = {section["number"]: section["title"] for section in document["sections"]}
    for check in document["checks"]:
        titles.setdefault(check["section"], check["section_title"])
    for number in sorted(titles):
        yield f"## {number} {escape(titles[number])}"
        yield ""
        seen = [check for check in document["checks"] if check["section"] == number]
        for check in seen:
            yield from _check(check)
        if not seen:
            yield "No check of this section was seen."
        yield ""


def _check(check: Mapping[str, Any]) -> Iterator[str]:
    name, outcome = f"{check['number']} {escape(check['title'])}", words.outcome(check["outcome"])
    reason = escape(text.clip(verdict.own_reason(check, named=True), 2000))
    if check["outcome"] == "not-applicable":
        yield f"- [ ] ~~{name}~~ not applicable: {reason or 'no reason was given'}"
        return
    facts = "; ".join(f"{escape(fact['name'])}: {_fact(fact)}" for fact in check["facts"])
    if check["outcome"] == "passed":
        yield f"- [x] {name}" + (f" — {facts}" if facts else "") + (f" ({reason})" if reason else "")
    else:
        box = "x" if check["outcome"] == "waived" else " "
        blocking = "" if check["blocking"] else ", not blocking"
        yield f"- [{box}] {name} — **{outcome.word}{blocking}**" + (f": {reason}" if reason else "")
        if facts:
            yield f"  - {facts}"
    folded = folding.findings(finding for finding in check["findings"] if finding["severity"] != "info")
    for finding in folded.items:
        waived = ", excused by a waiver" if finding["waived"] else ""
        severity = words.severity(finding["severity"]).word
        start = f"  - {severity}{waived}, {escape(finding['rule'])}: "
        yield from _said(start, text.clip(verdict.placed(finding), 2000))
    yield from (f"  - {more}" for more in folded.more)


def _fact(fact: Mapping[str, Any]) -> str:
    shown = text.value(fact["value"], fact["unit"])
    lines = shown.strip().splitlines()
    return f"{len(lines)} lines, see signoff.html" if len(lines) > 3 else escape(text.clip(shown, 500))


def _sign_off(document: verdict.Document) -> Iterator[str]:
    project = document["project"]
    yield "## Sign-off"
    yield ""
    if document["finished"] is not True:
        yield "There is nothing to sign: this run has not ended or was killed."
        return
    yield f"- Executed by: {escape(project['executed_by'] or '') or BLANK}, {text.instant(document['finished_at'])}"
    yield f"- Reviewed by: {escape(project['reviewed_by'] or '') or BLANK}"
    yield f"- Date and signature: {BLANK}"
    yield f"- Decision: {escape(document['headline'])}"
    remedy = "fix the reasons above and run the dry run again"
    otherwise = ", ".join(filter(None, [verdict.before_fixing(document), remedy]))
    go = escape(project["next_step"] or "") or BLANK
    yield f"- Next step: {go if document['decision'] == 'GO' else otherwise}"
