"""The matrix for the annex: plain HTML that pytest-html puts above its table as it is."""

from __future__ import annotations

from pytest_dryrun.report import page, verdict


def matrix_html(document: verdict.Document) -> str:
    """The decision, its sentence and the matrix, all escaped: pytest-html escapes nothing of a summary prefix."""
    return page.environment().get_template("annex.html.j2").render(page.view(verdict.settle(document)))


def placeholder_html(document: verdict.Document) -> str:
    """What stands in the annex's place while a run has not ended."""
    return page.environment().get_template("placeholder.html.j2").render(d=verdict.settle(document))
