"""What a terminal shows while a long step runs; nothing where nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

Progress = Callable[[str], AbstractContextManager[Any]]


def silent(text: str) -> AbstractContextManager[Any]:
    """Show nothing."""
    return nullcontext(text)


def spinner(file: Any, uncaptured: Callable[[], AbstractContextManager[Any]], column: Callable[[], int]) -> Progress:
    """Show the step's name and a spinner on this terminal; of steps within steps, the innermost.

    `uncaptured` opens the way to the terminal for as long as something is shown, `column` tells how far the line
    that is begun there has come: the spinner turns below it, and afterwards the cursor is where it was.
    """
    from rich.console import Console
    from rich.control import Control

    console = Console(file=file, force_terminal=True)
    shown: list[str] = []

    @contextmanager
    def show(text: str) -> Iterator[None]:
        shown.append(text)
        try:
            if len(shown) > 1:
                status.update(shown[-1])
                yield
            else:
                with uncaptured():
                    console.print()
                    status.update(text)
                    try:
                        with status:
                            yield
                    finally:
                        console.control(Control.move_to_column(column(), -1))
        finally:
            shown.pop()
            if shown:
                status.update(shown[-1])

    status = console.status("")
    return show
