"""Text as a reader should see it: nothing hidden in it, and numbers with units a person can compare."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

UNKNOWN = "—"

# Unicode categories that steer a display without showing: controls, formats (bidirectional overrides, zero widths),
# surrogates, line and paragraph separators (UAX #44, UAX #9).
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    """Make every character that would hide or reorder others visible; line feeds and tabs stay.

    They become their code point: `⟨U+202E⟩`.
    """
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    code = ord(character)
    if unicodedata.category(character) in HIDDEN or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return f"⟨U+{code:04X}⟩"
    return character


def inline(text: str) -> str:
    """The same on one line."""
    return " ".join(visible(text).split())


def command(text: str) -> str:
    """A command as it is to be typed: on one line, every space of it kept."""
    return visible(text).replace("\n", "⟨U+000A⟩").replace("\t", "⟨U+0009⟩")


def clip(text: str, limit: int) -> str:
    """Cut a long text and say how much is missing and where it is."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n… {len(text) - limit:,} more characters in report.json"


def paragraphs(text: str) -> list[str]:
    """A docstring's paragraphs, each on one line."""
    blocks = "\n".join(line.strip() for line in text.splitlines()).split("\n\n")
    return [" ".join(block.split()) for block in blocks if block.strip()]


def number(value: Any) -> bool:
    """Whether this is a number that can be shown as one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def count(value: Any) -> str:
    """A count with thousands separated; an unknown one as a dash."""
    if not number(value):
        return UNKNOWN if value is None else inline(str(value))
    return f"{value:,}" if isinstance(value, int) or not float(value).is_integer() else f"{int(value):,}"


def size(value: Any) -> str:
    """Bytes in binary units: `12.3 MiB`."""
    if not number(value):
        return UNKNOWN
    amount, units = float(value), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while abs(amount) >= 1023.95 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{int(amount):,} bytes" if units[0] == "bytes" else f"{amount:.1f} {units[0]}"


def duration(value_ms: Any) -> str:
    """Milliseconds as a person says them: `3.1 ms`, `1.24 s`, `2 min 05 s`, `1 h 02 min`."""
    if not number(value_ms):
        return UNKNOWN
    milliseconds = float(value_ms)
    if milliseconds < 999.5:
        return f"{milliseconds:.1f} ms" if 0 < abs(milliseconds) < 9.95 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def percent(value: Any) -> str:
    """A percentage with one decimal."""
    return f"{value:,.1f} %" if number(value) else UNKNOWN


def figure(value: Any) -> str:
    """A number without a unit, with two decimals."""
    return f"{value:,.2f}" if number(value) else UNKNOWN


def moment(text: Any) -> datetime | None:
    """The instant an ISO 8601 text names, in UTC; None where it names none or no zone."""
    try:
        parsed = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else None


def instant(text: Any) -> str:
    """`2026-11-22 10:15:00 UTC`; a text that is no instant is shown as it is."""
    if not text:
        return UNKNOWN
    parsed = moment(text)
    return f"{parsed:%Y-%m-%d %H:%M:%S} UTC" if parsed else inline(str(text))


def took(started_at: Any, finished_at: Any) -> str:
    """The time between two instants."""
    start, end = moment(started_at), moment(finished_at)
    return duration((end - start).total_seconds() * 1000) if start and end else UNKNOWN


def value(item: Any, unit: str = "") -> str:
    """One fact's value in words and human units; exact bytes stand beside the rounded ones."""
    if item is None:
        return UNKNOWN
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, (list, tuple)):
        return ", ".join(value(part, unit) for part in item) if item else "none"
    if isinstance(item, Mapping):
        return "; ".join(f"{key}: {value(part)}" for key, part in item.items()) if item else "none"
    if not number(item):
        return f"{item} {unit}".rstrip()
    if unit == "bytes":
        return size(item) if abs(item) < 1024 else f"{size(item)} ({item:,} bytes)"
    if unit in {"ms", "milliseconds"}:
        return duration(item)
    if unit in {"s", "seconds"}:
        return duration(item * 1000)
    if unit in {"%", "percent"}:
        return percent(item)
    return f"{count(item)} {unit}".rstrip()
