"""The errors of a dry run: what happened, what it means, what to do next."""

from __future__ import annotations


class DryRunError(Exception):
    """The world did not do what the dry run needs: three short lines, no secret.

    `what` happened, what it `means` for the dry run, and what to do `next`.
    Raise it `from` the driver's error, so that the SQLSTATE stays reachable.
    """

    def __init__(self, what: str, means: str, next: str) -> None:
        super().__init__(what, means, next)
        self.what = what
        self.means = means
        self.next = next

    def __str__(self) -> str:
        return f"{self.what}\n{self.means}\n{self.next}"


class ConfigurationError(DryRunError):
    """`dryrun.toml`, the command line or the project's folder is wrong; nothing was touched (exit 4)."""


class CommandFailed(DryRunError):
    """A command ended with another status than 0, or could not be started or finished in time."""


class TargetUnusable(DryRunError):
    """The target, its database or its host cannot be used as configured."""


class MigrationFailed(DryRunError):
    """A migration did not apply; carries where it stopped.

    `migration` is its name, `line` the 1-based line of the statement in its file where known, `sqlstate` the server's
    code where it gave one, `statement` the text that failed.
    """

    def __init__(
        self,
        what: str,
        means: str,
        next: str,
        *,
        migration: str | None = None,
        line: int | None = None,
        sqlstate: str | None = None,
        statement: str = "",
    ) -> None:
        super().__init__(what, means, next)
        self.migration = migration
        self.line = line
        self.sqlstate = sqlstate
        self.statement = statement

    def __reduce__(self) -> tuple[object, ...]:
        state = {"migration": self.migration, "line": self.line, "sqlstate": self.sqlstate, "statement": self.statement}
        return (type(self), (self.what, self.means, self.next), state)


class Blocked(Exception):
    """A step that could not start, because something earlier did not hold.

    `by` are the slugs of the checks that stand in its way, empty where it is none of them; `named` is how people read
    them. `why` says what is wrong.
    """

    def __init__(self, why: str, by: tuple[str, ...] = (), named: str = "") -> None:
        super().__init__(why, by, named)
        self.why = why
        self.by = by
        self.named = named or ", ".join(by)

    def __str__(self) -> str:
        return f"blocked by {self.named}: {self.why}" if self.by else f"blocked: {self.why}"
