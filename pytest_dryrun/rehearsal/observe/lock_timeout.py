"""Which `lock_timeout` was in force, followed through SET statements where no event of the copy tells it."""

from __future__ import annotations

import re

_SET = re.compile(
    r"""^\s*(?:SET\s+(?P<scope>SESSION\b|LOCAL\b)?\s*lock_timeout\s*(?:=|TO)\s*'?\s*(?P<value>\w[\w ]*?)\s*'?\s*;?\s*$
    |RESET\s+(?:lock_timeout|ALL)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_UNITS_MS = {"us": 0.001, "": 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def lock_timeout_set(sql: str) -> int | None:
    """Read the milliseconds a `SET lock_timeout` asks for (a RESET: 0); None for every other statement."""
    found = _SET.match(sql)
    if found is None:
        return None
    return 0 if found["value"] is None else _milliseconds(found["value"])


class LockTimeout:
    """The effective `lock_timeout` of the migrating session, in milliseconds; None where it cannot be known."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._start: int | None = None
        self._session: int | None = None
        self._local: int | None = None

    def after(self, sql: str, *, session: tuple[int, int | None], in_transaction: bool, told: int | None) -> int | None:
        """Follow one statement and return what was in force in it.

        `session` is the process id and the value it started with, `in_transaction` whether a transaction is open after
        the statement, `told` what an event reported from inside it.
        """
        if session[0] != self._pid:
            (self._pid, self._start), self._session, self._local = session, session[1], None
        found = _SET.match(sql)
        if told is not None:
            value: int | None = told
            if self._local is None:
                self._session = told
        elif found and found["value"] is not None:
            value = _milliseconds(found["value"])
            if (found["scope"] or "").upper() != "LOCAL":
                self._session, self._local = value, None
            elif in_transaction:
                self._local = value
        elif found:
            self._session, self._local, value = self._start, None, self._start
        elif sql.lstrip().upper().startswith("ROLLBACK"):
            self._session, self._local, value = None, None, None
        else:
            value = self._session if self._local is None else self._local
        if not in_transaction:
            self._local = None
        return value


def _milliseconds(text: str) -> int | None:
    found = re.fullmatch(r"(\d+) *(us|ms|s|min|h|d|)", text)
    return int(int(found[1]) * _UNITS_MS[found[2]]) if found else None
