"""Steps that happen once: the first who asks makes them happen, the others get the same result or the same error."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def step(text: str) -> Callable[[Callable[[Any], T]], Callable[[Any], T]]:
    """Make a method a step; `text` is what a terminal shows while it runs.

    Its object keeps results in `memo`, a dict by the method's name, and shows steps through `progress`.

    An error is kept too and raised again as the same object, so that whoever meets it later can be told from the first.
    """

    def decorate(method: Callable[[Any], T]) -> Callable[[Any], T]:
        @wraps(method)
        def once(self: Any) -> T:
            key = method.__name__
            if key not in self.memo:
                try:
                    with self.progress(text):
                        self.memo[key] = (method(self), None)
                except BaseException as error:  # a timeout's or pytest.fail's too: the step is not tried again
                    self.memo[key] = (None, error)
                    raise
            value, kept = self.memo[key]
            if kept is not None:
                raise kept.with_traceback(None)
            return value  # type: ignore[no-any-return]

        return once

    return decorate
