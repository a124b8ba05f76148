"""The checklist is read from source: nothing is imported, nothing gets lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dryrun import checklist
from pytest_dryrun.config import Target
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.values import CheckSpec

CONTRACT = {
    1: ["ssh-access", "database-credentials", "schema-version", "backup-space"],
    2: ["migration-status", "pending-migrations"],
    3: ["backup-created", "backup-restores", "backup-checksum"],
    4: [
        "schema-diff",
        "no-destructive-operations",
        "safe-defaults",
        "foreign-keys-preserve-integrity",
        "indexes-do-not-block",
        "running-release",
    ],
    5: ["migrations-applied", "status-after-apply", "schema-as-rehearsed"],
    6: ["rows-intact", "column-defaults", "no-orphaned-foreign-keys", "indexes-valid"],
    7: ["api-health", "smoke-command"],
    8: ["rollback-restores", "rollback-rows-match", "rollback-health", "rollback-smoke"],
    9: ["latency-p95", "slow-queries", "stalls", "memory", "cpu", "p0-bugs"],
    10: ["history-recorded"],
}


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_checklist_is_the_documented_one():
    """Every slug in its section and its place, all of them blocking; slugs never change."""
    specs = checklist.read([checklist.shipped_folder()])
    assert CONTRACT == {
        section: [spec.slug for spec in specs if spec.section == section]
        for section in sorted({spec.section for spec in specs})
    }
    assert all(spec.blocking for spec in specs)
    assert [] == [spec.slug for spec in specs if "When it is" not in spec.explanation]


def test_a_check_is_its_docstring_and_its_mark(tmp_path):
    """Number, title, explanation, criterion and blocking come from the file."""
    folder = write(
        tmp_path / "checks",
        "test_04_review.py",
        '"""Review."""\nfrom pytest_dryrun import check\n\n'
        '@check("a-b", criterion="latency", blocking=False)\n'
        'def test_x():\n    """It is fast.\n\n    Because.\n    """\n'
        "def test_unmarked(): ...\n@check(slug='c')\ndef test_y(): ...\n",
    )
    first, second = checklist.read([folder])
    assert first == CheckSpec(
        "a-b", 4, 1, "Review", "It is fast", "Because.", "latency", blocking=False, path=first.path, function="test_x"
    )
    assert ("4.1", "4.2") == (first.number, second.number)
    assert ("c", "no-p0", True) == (second.title, second.criterion, second.blocking)


def test_a_project_adds_to_sections_and_keeps_their_titles(tmp_path):
    """Positions go on where the shipped ones end."""
    own = write(
        tmp_path / "checks", "test_07_mine.py", '@check("user-crud", criterion="crud-pass")\ndef test_u(): "x"\n'
    )
    specs = {spec.slug: spec for spec in checklist.read([checklist.shipped_folder(), own])}
    assert ("7.3", "Smoke") == (specs["user-crud"].number, specs["user-crud"].section_title)


def test_a_file_without_a_docstring_is_titled_by_its_name(tmp_path):
    """`test_11_extra_things.py` is section 11, Extra things; other files are no sections."""
    folder = write(tmp_path / "checks", "test_11_extra_things.py", '@check("x")\ndef test_x(): ...\n')
    write(folder, "test_helpers.py", '@check("y")\ndef test_y(): ...\n')
    assert [(11, "Extra things")] == checklist.sections(checklist.read([folder]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def test_(:\n", "is not Python"),
        ("SLUG = 'x'\n@check(SLUG)\ndef test_x(): ...\n", "slug of @check is not a literal"),
        ("@check(**{})\ndef test_x(): ...\n", "is not a literal"),
        ("@check('Not Kebab')\ndef test_x(): ...\n", "kebab-case"),
        ("@check('a', 'b')\ndef test_x(): ...\n", "kebab-case"),
        ("@check('a', severity=3)\ndef test_x(): ...\n", "kebab-case"),
        ("@check('a', criterion='speed')\ndef test_x(): ...\n", "unknown criterion 'speed'"),
        ("@check('a', blocking='no')\ndef test_x(): ...\n", "blocking is 'no'"),
        ("@check('a')\ndef test_x(): ...\n@check('a')\ndef test_y(): ...\n", "is used twice"),
    ],
)
def test_a_check_that_cannot_be_read_is_refused(tmp_path, text, expected):
    """A checklist that is not known runs nothing."""
    with pytest.raises(ConfigurationError, match=expected):
        checklist.read([write(tmp_path / "checks", "test_01_x.py", text)])


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    """Its name is told."""
    folder = tmp_path / "checks"
    folder.mkdir()
    (folder / "test_01_x.py").write_bytes(b"# \xff\xfe\n")
    with pytest.raises(ConfigurationError, match="test_01_x"):
        checklist.read([folder])


def test_marks_of_other_kinds_are_no_checks(tmp_path):
    """Only `@check(...)`, however it is spelled, makes a line of the checklist."""
    folder = write(
        tmp_path / "checks",
        "test_01_x.py",
        "@plain\n@pytest.mark.slow()\n@table[0]()\ndef test_x(): ...\n@pytest_dryrun.check('a')\ndef test_y(): ...\n",
    )
    assert ["a"] == [spec.slug for spec in checklist.read([folder])]


def test_a_target_has_the_shipped_checks_the_projects_and_its_own(tmp_path):
    """Beside `dryrun.toml` and in a local target's directory; a folder that is both counts once."""
    write(tmp_path / "checks", "test_07_a.py", "@check('a')\ndef test_a(): ...\n")
    (tmp_path / "app").mkdir()
    write(tmp_path / "app" / "checks", "test_07_b.py", "@check('b')\ndef test_b(): ...\n")

    def added(**target: str) -> list[str]:
        found = checklist.of_target(tmp_path, Target.model_validate({"role": "local", **target}))
        shipped = sum(len(slugs) for slugs in CONTRACT.values())
        assert len(found.specs) == shipped + len(found.folders) - 1
        return [spec.slug for spec in found.specs if spec.slug in {"a", "b"}]

    assert ["a"] == added(directory=".")
    assert ["a", "b"] == added(directory="app")
    assert ["a"] == added(role="staging", directory="app")
