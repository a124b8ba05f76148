"""What a command printed, in bounded memory, and the errors it can end with; shared by the hosts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from pytest_dryrun.model.errors import CommandFailed

KEPT_BYTES = 64 * 1024 * 1024
LONGEST_LINE_BYTES = 1024 * 1024
_LONGEST_SHOWN = 200
STDOUT, STDERR = 1, 2


class Kept:
    """The end of a stream: at most the last `KEPT_BYTES`, and a first line that says how much went before."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._dropped_bytes = 0

    def add(self, chunk: bytes) -> None:
        """Take the next piece."""
        self._data += chunk
        if len(self._data) > 2 * KEPT_BYTES:
            self._trim()

    def text(self) -> str:
        """Decode what is kept as UTF-8, replacing what is not."""
        self._trim()
        note = f"[{self._dropped_bytes} bytes before this are not kept]\n" if self._dropped_bytes else ""
        return note + self._data.decode(errors="replace")

    def _trim(self) -> None:
        surplus = max(0, len(self._data) - KEPT_BYTES)
        self._dropped_bytes += surplus
        del self._data[:surplus]


def stdout_of(
    chunks: Iterable[tuple[int, bytes]], exit_status: Callable[[], int], argv: Sequence[str]
) -> Generator[bytes, None, None]:
    """Yield stdout alone; another status than 0, asked for at the end, is CommandFailed with the end of stderr."""
    errors = Kept()
    for number, chunk in chunks:
        if number == STDOUT:
            yield chunk
        else:
            errors.add(chunk)
    if status := exit_status():
        raise ended_badly(argv, status, errors.text())


def lines(chunks: Iterable[bytes], longest_bytes: int = LONGEST_LINE_BYTES) -> Iterator[str]:
    """Cut a stream into its lines, without their ends; a line that is too long comes in pieces.

    A last line that has no end counts. What is not UTF-8 is replaced.
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield from _pieces(line, longest_bytes)
        if len(rest) > longest_bytes:
            *done, rest = _cut(rest, longest_bytes)
            yield from (piece.decode(errors="replace") for piece in done)
    if rest:
        yield from _pieces(rest, longest_bytes)


def _pieces(line: bytes, longest_bytes: int) -> Iterator[str]:
    return (piece.decode(errors="replace") for piece in _cut(line, longest_bytes))


def _cut(line: bytes, longest_bytes: int) -> list[bytes]:
    return [line[at : at + longest_bytes] for at in range(0, len(line), longest_bytes)] or [b""]


def not_started(argv: Sequence[str], cwd: str | None, reason: str) -> CommandFailed:
    """Say that a command never ran."""
    place = f" in {cwd}" if cwd else ""
    return CommandFailed(
        f"{shown(argv)} could not be started{place}: {reason.rstrip('.')}.",
        "It did not run, so it changed nothing.",
        "Check that the program and the folder exist and may be used from here.",
    )


def too_slow(argv: Sequence[str], timeout_s: float) -> CommandFailed:
    """Say that a command was killed at its time limit."""
    return CommandFailed(
        f"{shown(argv)} did not end within {timeout_s:g} s.",
        "It was killed; how far it came is not known.",
        "Find out what it waits for, or raise its time limit.",
    )


def ended_badly(argv: Sequence[str], status: int, stderr: str) -> CommandFailed:
    """Say that a streaming command ended with another status than 0."""
    return CommandFailed(
        f"{shown(argv)} ended with status {status}: {last_words(stderr)}",
        "What it printed is not complete.",
        "Look at its own message above.",
    )


def shown(argv: Sequence[str]) -> str:
    """Spell a command as a person would type it, on one line, cut between two words where it is long."""
    text = " ".join(shlex.join(argv).split())
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN + 1].rpartition(" ")[0] + " …"


def last_words(text: str) -> str:
    """Put the end of what a command printed on one line."""
    return last_part(" ".join(text.split()), 500) or "it printed no reason"


def last_part(text: str, length: int) -> str:
    """The last words that fit, each whole: half of a secret would not be recognised and redacted any more.

    Where not even the last one fits, a mark stands for it.
    """
    text = text.strip()
    return text if len(text) <= length else re.sub(r"^\S*\s*", "", text[-length - 1 :]) or "…"
