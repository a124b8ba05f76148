"""Which line of a log is an error, whatever logger wrote it, and the collection of those that are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_dryrun.probes.smoke import clip, plain

LONGEST_SHOWN = 500
_MOST_LINES = 200

_SEVERE = {"ERROR", "FATAL", "PANIC", "CRITICAL", "ALERT", "EMERG", "EMERGENCY", "SEVERE"}
_PINO_ERROR = 50  # pino and bunyan: 50 is error, 60 is fatal
# The first level word of a line is its level. The second row means nothing without a colon: Postgres' own words.
_LEVEL = re.compile(
    r"\b(?:(TRACE|DEBUG[1-5]?|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|PANIC|CRITICAL|SEVERE|EMERG)\b(?!\w)"
    r"|(LOG|DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION)(?=:))"
)
# What a line begins with that has a time stamp, thread or process in front of its level.
_HEADER = re.compile(
    r"\[|\W*(?:\d{4}[-/]\d|\d{1,2}[:/]\d\d|\d{10}"
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b)"
)
_HEADER_WORDS = 8
_HEADER_LENGTH = 300
_BROKEN_JSON = re.compile(r"\"(?:level|severity)\"\s*:\s*(?:\"(?:error|fatal|panic|critical)\"|[56]0\b)", re.IGNORECASE)
_LOWER = re.compile(
    r"^\s*(?:error|fatal|panic|prisma:error)\b:?(?=[\s\[(]|$)|[\[<](?:error|fatal|panic|crit|alert|emerg)[\]>]"
)
_LOGFMT = re.compile(r"(?:^|\s)(?:level|lvl|severity)=\"?([A-Za-z]+)")


def is_severe(line: str) -> bool:
    """Whether a log line is at ERROR, FATAL or PANIC (or a level that stands above ERROR elsewhere, as CRITICAL).

    Understood are JSON lines (a level by name, or 50 and 60 as pino counts), logfmt's `level=`, and text in which
    the first level word, at the start or behind a time stamp and the like, decides: an ERROR later in the message
    does not. Lines without a level, such as those of a stack trace, are not severe.
    """
    text = plain(line).strip()
    if text.startswith("{"):
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError):
            return _BROKEN_JSON.search(text) is not None
        return isinstance(entry, dict) and _entry_is_severe(entry)
    text = text[:_HEADER_LENGTH]
    if found := _LOGFMT.search(text):
        return found.group(1).upper() in _SEVERE
    found = _LEVEL.search(text)
    if found and _is_header(text[: found.start()]):
        return found.group(1) in _SEVERE
    return _LOWER.search(text) is not None


def _is_header(prefix: str) -> bool:
    """Whether this is what loggers write before the level: nothing but marks, or a time stamp and a few words."""
    if not re.search(r"\w", prefix):
        return True
    return _HEADER.match(prefix) is not None and len(prefix.split()) <= _HEADER_WORDS


def _entry_is_severe(entry: dict[str, object]) -> bool:
    """Judge a structured entry: its level decides; a container runtime's wrapper holds the application's own line."""
    for key in ("level", "severity", "levelname", "log.level", "error_severity", "lvl"):
        level = entry.get(key)
        if isinstance(level, str) and level.strip().isdigit():
            level = int(level)
        if isinstance(level, (int, float)):
            return level >= _PINO_ERROR
        if isinstance(level, str):
            return level.strip().upper() in _SEVERE
    wrapped = entry.get("log")
    return isinstance(wrapped, str) and is_severe(wrapped)


@dataclass(slots=True)
class SevereLines:
    """The first 200 severe lines of some files, each as `file: line`; of the others the number."""

    shown: list[str] = field(default_factory=list)
    more: int = 0

    def collect(self, name: str, lines: Iterable[str]) -> None:
        """Take the severe ones of a file's lines; what was taken stays where reading them ends in an error."""
        for line in lines:
            if not is_severe(line):
                continue
            if len(self.shown) < _MOST_LINES:
                self.shown.append(f"{name}: {clip(plain(line).strip(), LONGEST_SHOWN)}")
            else:
                self.more += 1

    def result(self) -> tuple[str, ...]:
        """Give the lines in the order they came, and at the end how many more there are."""
        return (*self.shown, f"... and {self.more} more") if self.more else tuple(self.shown)
