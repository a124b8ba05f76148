"""signoff.html: the page that is signed, self-contained, complete without JavaScript, readable without CSS."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_dryrun.model import messages
from pytest_dryrun.report import folding, reading, sparkline, text, verdict, words

SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@functools.cache
def environment() -> Environment:
    """The template engine that escapes everything and hides nothing: each printed value passes through `visible`."""
    loaded = Environment(
        loader=PackageLoader("pytest_dryrun.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loaded.filters.update(
        inline=text.inline,
        clip=text.clip,
        blocks=messages.blocks,
        prose=messages.prose,
        command=text.command,
        paragraphs=text.paragraphs,
        count=text.count,
        size=text.size,
        duration=text.duration,
        percent=text.percent,
        figure=text.figure,
        instant=text.instant,
        fact=text.value,
        some=folding.some,
        folded=folding.findings,
        anchor=anchor,
    )
    loaded.globals.update(
        words=words,
        tally=verdict.tally,
        before_fixing=verdict.before_fixing,
        own_reason=verdict.own_reason,
        row_reasons=verdict.row_reasons,
        typed=verdict.TYPED,
        points=sparkline.points,
        took=text.took,
        number=text.number,
        width=sparkline.WIDTH,
        height=sparkline.HEIGHT,
    )
    return loaded


def _finalize(value: Any) -> Any:
    return text.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def anchor(check: Mapping[str, Any]) -> str:
    """The id of a check on the page; where the slug could not be one, its number makes it."""
    name = check["slug"] if SLUG.fullmatch(check["slug"]) else re.sub(r"\W+", "-", check["number"], flags=re.ASCII)
    return f"check-{name}"


def render(document: verdict.Document) -> str:
    """The page for one document, as it is in report.json."""
    settled = verdict.settle(document)
    engine = environment()
    style = _style(engine, settled)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # The digest lets the page's own style through its own content policy, and nothing else.
    return engine.get_template("signoff.html.j2").render(view(settled), style=Markup(style), style_digest=digest)  # noqa: S704


def view(settled: dict[str, Any]) -> dict[str, Any]:
    """What the templates read: the settled document as `d`, and what is derived from it."""
    checks = settled["checks"]
    titles = {section["number"]: section["title"] for section in settled["sections"]}
    for check in checks:
        titles.setdefault(check["section"], check["section_title"])
    sections = [
        {"number": number, "title": titles[number], "checks": [check for check in checks if check["section"] == number]}
        for number in sorted(titles)
    ]
    migrations = folding.by_migration(settled["statements"])
    return {
        "d": settled,
        "sentence": verdict.sentence(settled),
        "reasons": verdict.reasons(settled),
        "way": verdict.way_back(settled),
        "sections": sections,
        "by_slug": {check["slug"]: check for check in checks},
        "by_migration": migrations,
        "rehearsed": {migration.name: migration for migration in migrations},
        "longest_sql": folding.longest_sql(migrations),
        "tables": folding.tables(settled["tables"]),
        "reading": reading.of(settled),
    }


def _style(engine: Environment, settled: dict[str, Any]) -> str:
    """The stylesheet, with the run named at the foot of every printed sheet where its id is plain enough for CSS."""
    source, _, _ = engine.loader.get_source(engine, "page.css")  # type: ignore[union-attr]
    run = settled["run_id"] if re.fullmatch(r"[A-Za-z0-9._-]{1,80}", settled["run_id"]) else ""
    return f'{source}\n@page {{ @bottom-left {{ content: "{settled["headline"]}  ·  run {run}"; }} }}\n'
