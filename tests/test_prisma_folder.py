"""A Prisma project on disk: what is read, what is refused, which version, which order."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import require

from pytest_dryrun.migrations.prisma_folder import ambiguous_names, collation_key, read_folder
from pytest_dryrun.migrations.prisma_history import order_matters
from pytest_dryrun.migrations.prisma_version import execution_mode, find_version
from pytest_dryrun.migrations.scripts import checksum, unchanged
from pytest_dryrun.model.errors import ConfigurationError


def add(folder: Path, name: str, script: str | bytes = "SELECT 1;\n") -> Path:
    """Write one migration."""
    (folder / name).mkdir(parents=True)
    (folder / name / "migration.sql").write_bytes(script.encode() if isinstance(script, str) else script)
    return folder


def test_a_folder_is_read_in_byte_order(tmp_path: Path) -> None:
    """Names sort as bytes; files beside the folders and links to folders are not migrations."""
    for name in ("20240102_b", "20240101_a", "20240101_B"):
        add(tmp_path, name, f"-- {name}\r\nSELECT 1;")
    (tmp_path / "README.md").write_text("not a migration")
    (tmp_path / "link").symlink_to(tmp_path / "20240101_a")
    (tmp_path / "migration_lock.toml").write_text('# lock\nprovider = "postgresql"\n')
    found = read_folder(tmp_path)
    assert ["20240101_B", "20240101_a", "20240102_b"] == [each.name for each in found]
    assert hashlib.sha256(b"-- 20240101_B\r\nSELECT 1;").hexdigest() == found[0].checksum
    assert str(tmp_path / "20240101_B" / "migration.sql") == found[0].path


def test_a_migration_of_comments_is_no_error(tmp_path: Path) -> None:
    """Prisma's own empty migration is valid and has no statement."""
    assert () == read_folder(add(tmp_path, "1_empty", "-- This is an empty migration."))[0].statements


@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param(b"SELECT 1;\nSELECT '\xff';", "not UTF-8: byte 0xff in line 2", id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbfSELECT 1;", "byte order mark", id="BOM"),
        pytest.param(b"SELECT 1;\n\0 DROP TABLE a;", "NUL byte in line 2", id="NUL"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n", "is empty", id="blank"),
    ],
)
def test_scripts_that_could_not_run_are_refused(tmp_path: Path, script: bytes, told: str) -> None:
    """Three lines, the first of which names the file and what is wrong with it."""
    add(tmp_path, "1_bad", script)
    with pytest.raises(ConfigurationError, match=told) as caught:
        read_folder(tmp_path)
    assert 3 == len(str(caught.value).splitlines())
    assert str(tmp_path / "1_bad" / "migration.sql") in caught.value.what


def test_folders_that_could_not_run_are_refused(tmp_path: Path) -> None:
    """An absent folder, one without its script, a name too long, another provider, and Prisma 8."""
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_folder(tmp_path / "absent")
    (tmp_path / "a" / "1_x").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"1_x holds no migration\.sql .*P3015"):
        read_folder(tmp_path / "a")
    with pytest.raises(ConfigurationError, match="has 201 bytes; 200 are allowed"):
        read_folder(add(tmp_path / "b", "x" * 201))
    add(tmp_path / "c", "1_x")
    (tmp_path / "c" / "migration_lock.toml").write_text('provider = "mysql"')
    with pytest.raises(ConfigurationError, match="provider 'mysql'"):
        read_folder(tmp_path / "c")
    (tmp_path / "d" / "1_x").mkdir(parents=True)
    (tmp_path / "d" / "1_x" / "ops.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="belongs to Prisma 8"):
        read_folder(tmp_path / "d")


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """The history's column could not hold it."""
    os.mkdir(os.fsencode(tmp_path) + b"/1_\xff")  # noqa: PTH102 - a name that Path cannot spell
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        read_folder(tmp_path)


def test_checksums_match_in_three_spellings_and_the_old_one() -> None:
    """Newlines turned by git do not make a migration edited; another text does."""
    lf, crlf = "SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n"
    assert unchanged(checksum(lf), lf)
    assert unchanged(checksum(lf), crlf)
    assert unchanged(checksum(crlf), lf)
    assert not unchanged(checksum(lf), lf + " ")
    old = "".join(f"{byte:x}" for byte in hashlib.sha256(lf.encode()).digest())
    assert 64 != len(old)
    assert unchanged(old, lf)
    assert not unchanged(old, lf + " ")


@pytest.mark.parametrize(
    "names",
    [("1_init", "10_x"), ("20240101_a", "20240101000000_a"), ("1_B", "1_a"), ("add-user", "add_user"), ("z", "ä")],
    ids=["numbers", "dates and times", "case", "punctuation", "accents"],
)
def test_names_that_machines_sort_differently_are_seen(names: tuple[str, str]) -> None:
    """Where bytes and locale disagree, the pair is named in byte order."""
    assert (tuple(sorted(names, key=str.encode)),) == ambiguous_names(names)


def test_only_pending_migrations_make_the_order_matter() -> None:
    """A doubt among applied migrations is over; one that touches a pending one is not."""
    names = ["10_x", "1_init", "2_y"]
    assert not order_matters(names, ["2_y"])
    assert order_matters(names, ["10_x", "2_y"])


@pytest.mark.live
def test_collation_is_that_of_node() -> None:
    """ASCII names sort as JavaScript's localeCompare sorts them."""
    require(shutil.which("node") is not None, "node is not installed")
    names = [f"{a}{b}{c}" for a in "1aB" for b in "_-. ~0aAbZ(" for c in ("", "1", "x", "_")]
    names += [f"2024{char}1" for char in "_-,;:!?.'\"()[]{}@*&#%`^+<=>|~$"]
    program = "console.log(JSON.stringify(JSON.parse(process.argv[1]).sort((a,b)=>a.localeCompare(b,'en-US'))))"
    ran = subprocess.run(
        ["node", "-e", program, json.dumps(names)], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(ran.stdout) == sorted(names, key=collation_key)


@given(st.lists(st.text(alphabet="0123456789", min_size=14, max_size=14), unique=True))
def test_timestamps_of_equal_length_are_never_ambiguous(stamps: list[str]) -> None:
    """Prisma's own names are safe."""
    assert () == ambiguous_names([f"{stamp}_init" for stamp in stamps])


def project(tmp_path: Path, **files: str) -> Path:
    """Write a repository with these files; `__` stands for a slash."""
    (tmp_path / ".git").mkdir()
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


PNPM = """lockfileVersion: '9.0'
importers:
  .:
    devDependencies:
      prisma:
        specifier: ^5.0.0
        version: 5.1.0
  apps/api:
    devDependencies:
      prisma:
        specifier: ^7.0.0
        version: 7.4.2(typescript@5.9.2)
packages:
  prisma@5.1.0:
    resolution: {}
  prisma@7.4.2:
    resolution: {}
"""


@pytest.mark.parametrize(
    ("file", "text", "version"),
    [
        ("package-lock.json", '{"packages": {"node_modules/prisma": {"version": "6.19.3"}}}', "6.19.3"),
        ("package-lock.json", '{"dependencies": {"prisma": {"version": "4.1.0"}}}', "4.1.0"),
        ("yarn.lock", 'prisma@^6.1.0:\n  version "6.1.2"\n', "6.1.2"),
        ("yarn.lock", '"prisma@npm:^6.1.0":\n  version: 6.1.3\n', "6.1.3"),
        ("bun.lock", '{"packages": {"prisma": ["prisma@7.1.0", "", {}],}}', "7.1.0"),
        ("pnpm-lock.yaml", PNPM, "5.1.0"),
        ("pnpm-lock.yaml", "packages:\n  /prisma/4.16.2:\n    resolution: {}\n", "4.16.2"),
        ("pnpm-lock.yaml", "packages:\n  /prisma@5.16.2:\n    resolution: {}\n", "5.16.2"),
        ("pnpm-lock.yaml", "packages:\n  prisma@5.16.2:\n    x: 1\n  prisma@6.0.0:\n    x: 1\n", ""),
        ("package-lock.json", "not json", ""),
    ],
)
def test_the_version_is_read_from_each_lock_file(tmp_path: Path, file: str, text: str, version: str) -> None:
    """Every package manager's spelling is understood; what is ambiguous is unknown."""
    project(tmp_path)
    (tmp_path / file).write_text(text)
    assert version == find_version(None, tmp_path).text


def test_a_workspace_member_has_its_own_version(tmp_path: Path) -> None:
    """The lock file above is read for the project's own section."""
    root = project(tmp_path, **{"pnpm-lock.yaml": PNPM, "apps__api__package.json": "{}"})
    assert "7.4.2" == find_version(None, root / "apps" / "api").text


def test_sources_are_asked_in_order(tmp_path: Path) -> None:
    """Configured before installed, before locked, before wanted."""
    root = project(
        tmp_path,
        **{
            "package.json": '{"devDependencies": {"prisma": "^5.0.0"}}',
            "package-lock.json": '{"packages": {"node_modules/prisma": {"version": "5.2.0"}}}',
            "node_modules__prisma__package.json": '{"version": "5.3.0"}',
        },
    )
    assert "4.0.0" == find_version("4.0.0", root).text
    assert "5.3.0" == find_version(None, root).text
    shutil.rmtree(root / "node_modules")
    assert "5.2.0" == find_version(None, root).text
    (root / "package-lock.json").unlink()
    wanted = find_version(None, root)
    assert ("5.0.0", True) == (wanted.text, wanted.floor)
    (root / "package.json").write_text('{"dependencies": {"prisma": "6.19.3"}}')
    exact = find_version(None, root)
    assert ("6.19.3", False) == (exact.text, exact.floor)
    (root / "package.json").write_text('{"dependencies": {"prisma": "latest"}}')
    assert "" == find_version(None, root).text


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ("6.19.3", "whole-file"),
        ("7.3.9", "whole-file"),
        ("7.4.0", "per-statement"),
        ("7.10.0", "per-statement"),
        ("2.13", "whole-file"),
    ],
)
def test_the_version_decides_how_a_file_is_executed(tmp_path: Path, version: str, mode: str) -> None:
    """The boundary is 7.4.0."""
    assert mode == execution_mode(find_version(version, tmp_path))[0]


def test_doubts_about_the_version_are_named(tmp_path: Path) -> None:
    """An unknown version and a range across the boundary say so."""
    root = project(tmp_path)
    mode, reason = execution_mode(find_version(None, root))
    assert "whole-file" == mode
    assert "version is unknown" in reason
    (root / "package.json").write_text('{"dependencies": {"prisma": "^7.1.0"}}')
    mode, reason = execution_mode(find_version(None, root))
    assert "whole-file" == mode
    assert "lower end of the range" in reason
    assert "if 7.4 or later is installed" in reason


def test_impossible_versions_are_refused(tmp_path: Path) -> None:
    """Prisma 8, and what is no version."""
    with pytest.raises(ConfigurationError, match=r"Prisma 8\.0\.0-rc\.1"):
        find_version("8.0.0-rc.1", tmp_path)
    with pytest.raises(ConfigurationError, match="'banana', which is not a version"):
        find_version("banana", tmp_path)
