"""The page that is signed, its annex and what no document can smuggle through them."""

from __future__ import annotations

import copy
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import sample_documents as samples
from hypothesis import given
from hypothesis import strategies as st
from needs import require

from pytest_dryrun.report import annex, checklist, page, sparkline, text, verdict

EVERY = [samples.go, samples.no_go, samples.rollback_and_fix, samples.unfinished, samples.empty, samples.hostile]
VOID = {"meta", "br", "img", "path", "polyline", "link", "input"}
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Page(HTMLParser):
    """The page as a reader without a browser has it: tags, ids, links and text; unbalanced tags are an error."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.pieces: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that opens."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag without content."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, and no other."""
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        """Collect what can be read."""
        if not self.open or self.open[-1] != "style":
            self.text += data
            self.pieces.append(data)

    @property
    def words(self) -> str:
        """What can be read, with a space wherever one element ends."""
        return " ".join(" ".join(self.pieces).split())

    def values(self, name: str) -> list[str]:
        """Every value of one attribute."""
        return [value for _, attributes in self.tags if (value := attributes.get(name)) is not None]


@pytest.mark.parametrize("sample", EVERY)
def test_every_document_renders_to_a_whole_page(sample: Any) -> None:
    """The HTML is balanced, its ids are unique, its inner links lead somewhere and it starts the outline at one h1."""
    seen = Page(page.render(sample()))
    ids = seen.values("id")
    assert len(set(ids)) == len(ids)
    assert set() == {link[1:] for link in seen.values("href") if link.startswith("#")} - set(ids)
    assert 1 == [tag for tag, _ in seen.tags].count("h1")


@pytest.mark.parametrize("sample", EVERY)
def test_nothing_on_the_page_runs_or_loads(sample: Any) -> None:
    """No script, image, form, handler, style attribute or outside address; only files beside the page are linked."""
    seen = Page(page.render(sample()))
    tags = {tag for tag, _ in seen.tags}
    assert set() == tags & {"script", "img", "iframe", "link", "form", "object", "embed", "base"}
    assert [] == [
        name for _, attributes in seen.tags for name in attributes if name.startswith("on") or name == "style"
    ]
    assert [] == seen.values("src")
    outward = {link for link in seen.values("href") if not link.startswith("#")}
    assert outward <= {"report.json", "pytest.html", "checklist.md"}


@pytest.mark.parametrize("sample", EVERY)
def test_every_check_and_criterion_stands_on_the_page(sample: Any) -> None:
    """Every check's number, title and outcome and every row of the matrix can be read without a browser."""
    document = sample()
    seen = " ".join(Page(page.render(document)).text.split())
    for check in document["checks"]:
        assert f"{check['number']} {text.inline(check['title'])}" in seen
    for row in document["criteria"]:
        assert text.inline(row["title"]) in seen


@pytest.mark.parametrize(
    ("sample", "headline", "lacking"),
    [
        (samples.go, "GO", "Why it is not GO"),
        (samples.no_go, "NO-GO", "ROLLBACK"),
        (samples.rollback_and_fix, "ROLLBACK & FIX", "NO-GO"),
        (samples.unfinished, "NO-GO", "Executed by"),
    ],
)
def test_decision_in_large_words(sample: Any, headline: str, lacking: str) -> None:
    """The headline is the decision, and nothing on the page speaks of another."""
    seen = Page(page.render(sample())).text
    assert f"Decision: ✔\ufe0e{headline}" in seen or f"Decision: ✘\ufe0e{headline}" in seen
    assert lacking not in seen


def test_reasons_stand_before_everything_else() -> None:
    """A NO-GO says why, with the finding, its place and what to do, before the matrix."""
    seen = " ".join(Page(page.render(samples.no_go())).text.split())
    top = seen[: seen.index("GO needs every required row")]
    assert 'Column public."User"."phone" is dropped with 18,411 non-null values.' in top
    assert "20260110090000_course_slug:9" in top
    assert "What to do Look at the reason and the facts beside it" in top
    assert "17 checks blocked" in top


def test_unfinished_page_has_a_banner_and_nothing_to_sign() -> None:
    """A killed run's page says so in its first lines and offers no line to sign on."""
    seen = Page(page.render(samples.unfinished())).text
    assert "Unfinished: this run has not ended or was killed. Nothing on this page may be signed." in seen
    assert "There is nothing to sign" in seen
    assert "No backup was made" not in seen
    assert "Migrationsnot known yet" in seen


def test_figures_carry_human_units() -> None:
    """Bytes, durations and counts are shown as people say them, exact bytes beside."""
    seen = Page(page.render(samples.go())).text
    for shown in ["18.0 MiB (18,874,368 bytes)", "3.38 s", "214,220", "7.7 ms", "61.5 %", "2026-11-22 10:15:42 UTC"]:
        assert shown in seen


def test_what_must_be_known_before_signing_is_shown() -> None:
    """Notes, unverified columns and waived findings stand together before the checklist."""
    seen = " ".join(Page(page.render(samples.go())).text.split())
    section = seen[seen.index("Notes") : seen.index("Backup")]
    assert "The copy runs PostgreSQL 16.4" in section
    assert "xml has no hash function" in section
    assert "Excused by a waiver" in section
    assert "legacyCode" in section


def test_memory_and_cpu_say_whose_and_why_not() -> None:
    """Each group with its programs, one that could not be measured with the reason, and the load of the machine."""
    seen = " ".join(Page(page.render(samples.go())).text.split())
    section = seen[seen.index("Memory and CPU") : seen.index("Top statements")]
    assert "API node, PM2 v5.4.3: God" in section
    assert "Not measured: the host shows the login user no processes of other users (hidepid)." in section
    assert "Load average of the last minute: 0.50 at the end, 1.38 at its peak, on 4 cores" in section
    assert 1 == Page(page.render(samples.go())).values("aria-label").count("Load average, peak 1.38")
    assert "While the smoke and latency checks ran; CPU in percent of one core" in section
    document = samples.go() | {"resources_of_run": True}
    assert "Through the whole run (what 9.4 and 9.5 judge begins" in Page(page.render(document)).text
    document["resources"][2]["memory_peak_bytes"] = 4096
    assert "Measured in part: the host shows" in Page(page.render(document)).text


def test_a_document_from_before_the_load_was_known_has_none() -> None:
    """An older report.json is drawn without it."""
    document = samples.go()
    del document["load"]
    for item in document["resources"]:
        for name in {"not_measured", "programs"} & item.keys():
            del item[name]
    assert "Load average" not in Page(page.render(document)).text


def test_malice_is_text_on_the_page() -> None:
    """Markup from outside appears as its own characters, and nothing steers the display."""
    source = page.render(samples.hostile())
    seen = Page(source)
    assert "<script>alert(1)</script></script><img src=x onerror=alert(2)>" in seen.text
    assert "{{ 7 * 7 }} {% raw %}" in seen.text
    for code in ["202E", "2066", "200B", "001B", "0000", "007F", "0085", "D800", "FFFE"]:
        assert f"⟨U+{code}⟩" in seen.text
    assert samples.LONG_NAME in seen.text
    assert [] == [
        character
        for character in source
        if unicodedata.category(character) in {"Cc", "Cf", "Cs"} - {"\n"} and character not in "\n\t"
    ]


@given(st.text())
def test_visible_text_steers_nothing(written: str) -> None:
    """Whatever is written, what is shown holds no control, format, surrogate or separator, and can be encoded."""
    shown = text.visible(written)
    assert set() == {character for character in shown if unicodedata.category(character) in text.HIDDEN} - {"\n", "\t"}
    shown.encode()


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S"])))
def test_plain_text_is_shown_as_it_is(written: str) -> None:
    """Text without hidden characters is not changed."""
    assert written == text.visible(written)


def test_policy_lets_only_the_pages_own_style_through() -> None:
    """The content policy names the digest of the one style element and allows nothing else."""
    source = page.render(samples.go())
    assert 1 == source.count("<style>")
    policy = next(
        attributes["content"] for tag, attributes in Page(source).tags if tag == "meta" and "http-equiv" in attributes
    )
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_run_id_that_is_no_plain_word_stays_out_of_the_stylesheet() -> None:
    """A run id that could end a CSS string is left out of the sheet's foot."""
    document = samples.go()
    document["run_id"] = '"; } body { display: none } </style><script>'
    source = page.render(document)
    assert "display: none } </style>" not in source
    assert 1 == source.count("</style>")


def test_a_slug_that_is_no_id_gets_the_number_as_its_anchor() -> None:
    """A check with a foreign slug is still linked."""
    assert "check-4-2" == page.anchor({"slug": 'a b"><', "number": "4.2"})
    assert "check-rows-intact" == page.anchor({"slug": "rows-intact", "number": "6.1"})


def test_long_texts_are_cut_and_say_so() -> None:
    """A statement of a megabyte does not fill the page; what is missing is counted."""
    document = samples.go()
    document["statements"][0]["sql"] = "x" * 1_000_000
    source = page.render(document)
    assert len(source) < 300_000
    assert "… 994,000 more characters in report.json" in source


def test_annex_holds_the_matrix_with_everything_escaped() -> None:
    """pytest-html gets the decision and every row, and no markup from outside."""
    seen = Page(annex.matrix_html(samples.no_go()))
    assert "NO-GO" in seen.text
    for title in samples.CRITERIA.values():
        assert title in seen.text
    hostile = Page(annex.matrix_html(samples.hostile()))
    assert {"div", "p", "strong", "a", "table", "caption", "thead", "tr", "th", "tbody", "td", "br"} >= {
        tag for tag, _ in hostile.tags
    }
    assert {"signoff.html"} == set(hostile.values("href"))


def test_curves_are_drawn_within_their_box() -> None:
    """A series becomes points between the margins; too few samples become none; long series keep their peak."""
    assert "2.0,14.0 158.0,2.0" == sparkline.points([[0, 5], [4, 10]], 1)
    assert "" == sparkline.points([[0, 5], [1, None]], 1)
    assert "2.0,26.0 158.0,26.0" == sparkline.points([[0, 0], [1, 0]], 1)
    long = sparkline.points([[t, 99 if t == 777 else 1] for t in range(5000)], 1)
    assert len(long.split()) <= sparkline.MOST_POINTS
    assert ",2.0 " in long


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.figure(1.375), "1.38"),
        (text.figure(12345.0), "12,345.00"),
        (text.figure(None), "—"),
        (text.duration(0), "0 ms"),
        (text.duration(0.42), "0.4 ms"),
        (text.duration(999.4), "999 ms"),
        (text.duration(999.6), "1.00 s"),
        (text.duration(9996), "10.0 s"),
        (text.duration(59_960), "1 min 00 s"),
        (text.duration(3_600_000), "1 h 00 min"),
        (text.duration(None), "—"),
        (text.duration(float("nan")), "—"),
        (text.size(1023), "1,023 bytes"),
        (text.size(1_048_575), "1.0 MiB"),
        (text.size(True), "—"),
        (text.count(1234.5), "1,234.5"),
        (text.count(None), "—"),
        (text.percent(3), "3.0 %"),
        (text.instant("2026-11-22T12:00:00+02:00"), "2026-11-22 10:00:00 UTC"),
        (text.instant("2026-11-22T12:00:00"), "2026-11-22T12:00:00"),
        (text.instant(None), "—"),
        (text.took("2026-11-22T10:00:00Z", "2026-11-22T10:02:05Z"), "2 min 05 s"),
        (text.took("2026-11-22T10:00:00Z", None), "—"),
        (text.value([1, 2000]), "1, 2,000"),
        (text.value([]), "none"),
        (text.value({"a": True, "b": None}), "a: yes; b: —"),
        (text.value(3, "rows"), "3 rows"),
        (text.value(2.5, "s"), "2.50 s"),
        (text.value(float("inf"), "ms"), "inf ms"),
    ],
)
def test_units(shown: str, expected: str) -> None:
    """Numbers are rounded to what can be read and never across their unit."""
    assert expected == shown


@pytest.fixture(scope="module")
def browser() -> Any:
    """A real browser; skipped by name where the machine has none."""
    playwright = pytest.importorskip("playwright.sync_api")
    require(CHROMIUM.exists(), f"no browser: {CHROMIUM} is missing")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, timeout=60_000)
        yield launched
        launched.close()


@pytest.mark.live
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("sample", [samples.no_go, samples.hostile], ids=["no-go", "hostile"])
def test_page_in_a_browser_without_javascript(browser: Any, tmp_path: Path, sample: Any, width: int) -> None:
    """It shows its decision, keeps within the window, asks for nothing and leaves the console empty."""
    (tmp_path / "signoff.html").write_text(page.render(sample()), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 800})
    try:
        tab = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((tmp_path / "signoff.html").as_uri(), timeout=60_000)
        assert "NO-GO" in tab.locator(".headline").inner_text(timeout=60_000)
        assert tab.locator("h2#sign-off").is_visible()
        wide = [
            box["width"] + box["x"]
            for part in (
                "html",
                "header",
                "main",
                "footer",
                "h1",
                "table.matrix",
                "table.statements >> nth=0",
                "section[aria-labelledby=schema] pre.block",
                "#checklist",
            )
            if (box := tab.locator(part).bounding_box(timeout=60_000))
        ]
        assert max(wide) <= width
        assert [] == said
        assert [(tmp_path / "signoff.html").as_uri()] == asked
    finally:
        context.close()


@pytest.mark.live
@pytest.mark.parametrize("sample", [samples.go, samples.hostile], ids=["go", "hostile"])
def test_nothing_sticks_out_of_the_window(browser: Any, tmp_path: Path, sample: Any) -> None:
    """Measured from inside, the page is no wider than the window on a telephone and on a desk."""
    (tmp_path / "signoff.html").write_text(page.render(sample()), encoding="utf-8")
    context = browser.new_context(viewport={"width": 390, "height": 800})
    try:
        tab = context.new_page()
        tab.goto((tmp_path / "signoff.html").as_uri(), timeout=60_000)
        for width in (390, 1200):
            tab.set_viewport_size({"width": width, "height": 800})
            assert width >= tab.evaluate("document.documentElement.scrollWidth")
    finally:
        context.close()


def test_rendering_leaves_the_document_as_it_was() -> None:
    """Renderers read; what becomes report.json is not changed by drawing it."""
    document = samples.no_go()
    before = copy.deepcopy(document)
    page.render(document)
    annex.matrix_html(document)
    verdict.settle(document)
    assert before == document


def test_a_blocked_check_leads_to_what_blocked_it() -> None:
    """Once for all that waited and once at each of them: the check that stood in the way, linked, with its outcome."""
    source = page.render(samples.no_go())
    seen = Page(source).words
    by = "Blocked by 4.2 no-destructive-operations failed , 4.3 safe-defaults failed"
    assert 1 + 19 == seen.count(by)
    assert f"17 checks blocked ⊘\ufe0e blocked the target was not touched {by}" in seen
    assert samples.BLOCKED not in seen
    assert source.count('href="#check-no-destructive-operations"') > 18


def test_a_finding_names_its_object_its_place_and_that_it_followed() -> None:
    """What a waiver may name stands beside the finding, on the page and in the list."""
    seen = Page(page.render(samples.no_go())).words
    place = "sequence-reset 20260110090000_course_slug:12 (follows from this statement)"
    message = 'The sequence of public."Session".id hands out numbers that are taken.'
    assert f'{place} {message} object public."Session_id_seq" position 1 highest 6,000' in seen.replace(
        "Evidence for sequence-reset ", ""
    )
    assert f"blocker, sequence-reset: {message} (20260110090000_course_slug:12)\n" in checklist.render(samples.no_go())


def test_what_became_of_the_rows_is_told_in_figures() -> None:
    """Lost, moved, changed, filled and gone are different things, each with its count and a value before and after."""
    seen = Page(page.render(samples.no_go())).words
    tables = seen[seen.index("Before and after the migration, compared row by row") :]
    for shown in (
        "37 rows lost rows moved to archive.session 12 keys 118 , 242 , 903",
        "replaced by another table of this name; the figures tell what became of the rows 18,411 rows changed",
        "values changed phone 18,411",
        "values gone with their column fax 3",
        "filled, NULL in every row before locale 20,000",
        "key 5 phone : +62 21 555 became NULL",
        "not verified metadata (xml has no hash function)",
    ):
        assert shown in tables


def test_what_waits_for_the_signer_is_counted_in_the_first_lines() -> None:
    """A GO leads to its warnings, to what was not verified or tested and to waivers; a NO-GO leads to its reasons."""
    seen = Page(page.render(samples.go())).words
    assert "Read before signing: 1 warning, 1 not verified, 2 not tested, 1 excused by a waiver." in seen
    section = seen[seen.index("Warnings") : seen.index("Backup")]
    assert "4.5 writes-blocked Writers of" in section
    assert "1.1 The target's host can be reached over SSH: target local has no [targets.local.ssh]" in section
    assert "before signing:" not in Page(page.render(samples.no_go())).words


def test_a_waiver_is_shown_with_who_allowed_it() -> None:
    """Whoever signs reads why a finding does not count."""
    document = samples.go()
    waived = next(item for check in document["checks"] for item in check["findings"] if item["waived"])
    waived["evidence"] |= {"waiver": "nobody reads it since 2025", "approver": "A. Brandt"}
    seen = Page(page.render(document)).words
    assert "because nobody reads it since 2025, approved by A. Brandt" in seen
