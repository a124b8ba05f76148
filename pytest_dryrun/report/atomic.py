"""Files that are replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path


def replace_all(contents: Mapping[Path, bytes], *, mode: int | None = None) -> None:
    """Write each file beside its place, flush all of them to disk, then rename them into place in the given order.

    A reader sees the old file or the new one. Where any cannot be written, none is replaced and nothing is left behind.
    `mode` are the permission bits; by default the umask decides.
    """
    drafts: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
            drafts[draft] = path
            _write(draft, content, mode)
        for draft, path in drafts.items():
            draft.replace(path)
        for directory in {path.parent for path in contents}:
            _sync_directory(directory)
    finally:
        for draft in drafts:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()


def _write(path: Path, content: bytes, mode: int | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if mode is not None:
            os.fchmod(descriptor, mode)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
