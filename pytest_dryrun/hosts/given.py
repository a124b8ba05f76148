"""What a command is given to read, as far as it has come."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import CancelledError


class Given:
    """The pieces for a command's stdin, one at a time; an empty one says that there is nothing yet.

    Whoever sets `stop` makes the next question for bytes a CancelledError.
    """

    def __init__(self, pieces: Iterable[bytes], stop: threading.Event) -> None:
        self._pieces = iter(pieces)
        self._stop = stop
        self._rest = memoryview(b"")
        self.ended = False

    def next(self) -> memoryview:
        """The bytes to be written next; none where there are none yet, or no more."""
        if self._stop.is_set():
            raise CancelledError
        if not self._rest and not self.ended:
            piece = next(self._pieces, None)
            self.ended = piece is None
            self._rest = memoryview(piece or b"")
        return self._rest

    def written(self, count: int) -> None:
        """So many of them were taken."""
        self._rest = self._rest[count:]

    def refused(self) -> None:
        """The command reads no further."""
        self._rest, self.ended = memoryview(b""), True
