"""What a migration did where another program ran it and nobody stepped through its files: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_dryrun.model.values import StatementRun
from pytest_dryrun.rehearsal.observe.events import BySession, commands, complete, reached, rebuilt_indexes
from pytest_dryrun.rehearsal.observe.naming import Naming
from pytest_dryrun.rehearsal.observe.observation import Observed, Rewrite, strength
from pytest_dryrun.rehearsal.observe.windows import Changed, Event, Relation

# What tells of a new file that no event reported.
UNREPORTED = "unreported"


def from_events(
    events: Sequence[Event],
    before: Mapping[int, Relation],
    aborted: frozenset[str] = frozenset(),
    *,
    clock_offset_s: float,
    changed: Changed | None = None,
) -> tuple[Observed, ...]:
    """Tell one entry per DDL command where nobody stepped through the file: line 0, in the server's words.

    What got a new file in the whole run, `changed`, and was reported by none of them stands in a last entry each.
    """
    names = Naming(before, events)
    sessions = BySession(events)
    observed = []
    for pid in sessions:
        carried: dict[str, str] = {}
        transaction = ""
        for end, command in commands(sessions.of(pid), names, aborted):
            if end["transaction"] != transaction:
                transaction, carried = end["transaction"], {}
            acquired = tuple(
                lock for lock in command.locks if strength(lock.mode) > strength(carried.get(lock.relation, ""))
            )
            carried.update((lock.relation, lock.mode) for lock in acquired)
            spelled = " ".join((command.tag, *command.objects[:3], *(identity for _, identity in command.dropped[:1])))
            run = StatementRun("", 0, spelled, command.duration_ms)
            ended_s = end["clock"] - clock_offset_s
            observed.append(
                Observed(
                    run=complete(run, command.locks, command.rewrites, (command,)),
                    tag=command.tag,
                    transaction=f"{pid} {transaction}",
                    started_s=ended_s - command.duration_ms / 1000,
                    ended_s=ended_s,
                    acquired=acquired,
                    commands=(command,),
                    rewrites=command.rewrites,
                    lock_timeout_ms=command.lock_timeout_ms,
                    undone=command.undone,
                )
            )
        if attempts := reached(sessions.of(pid)):
            run = StatementRun("", 0, f"({', '.join(attempts)})", 0.0)
            never = float("inf")
            observed.append(Observed(run, "", f"{pid} outside", never, never, looked=True, reached=attempts))
    observed.sort(key=lambda one: one.ended_s)
    return (*observed, *_unreported(changed or Changed(), observed, names))


def _unreported(changed: Changed, observed: Sequence[Observed], names: Naming) -> Iterator[Observed]:
    """One entry for every new file that no event told of; at no time, so that no wait is put down to it."""
    never = float("inf")
    commands = [command for one in observed for command in one.commands]
    rewritten = {rewrite.relation for command in commands for rewrite in command.rewrites}
    for oid in changed.rewritten:
        if (table := names(oid).name) not in rewritten:
            run = StatementRun("", 0, f"(a new file of {table})", 0.0)
            rewrites = (Rewrite(table, "the migrations gave it a new file"),)
            yield Observed(complete(run, (), rewrites, ()), UNREPORTED, f"file {oid}", never, never, rewrites=rewrites)
    for index, table in rebuilt_indexes(changed, commands, names).items():
        run = StatementRun("", 0, f"(a new file of {index})", 0.0)
        yield Observed(run, UNREPORTED, f"file {index}", never, never, rebuilt={index: table})
