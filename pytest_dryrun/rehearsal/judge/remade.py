"""Objects that were dropped and made again under their name: what the by-name catalog does not compare of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_dryrun.postgres.catalog.addresses import Address, number
from pytest_dryrun.postgres.catalog.claims import WHOLE_ROW, Claim, Claims
from pytest_dryrun.postgres.catalog.naming import Naming
from pytest_dryrun.postgres.catalog.rows import Event, RowChange
from pytest_dryrun.rehearsal.judge.accounts import Accounts, Difference

# Not among them: what the by-name catalog compares as one text, and what follows from it (constraints, indexes, rules).
COMPARED = frozenset(
    {
        "pg_aggregate",
        "pg_am",
        "pg_amop",
        "pg_amproc",
        "pg_class",
        "pg_conversion",
        "pg_extension",
        "pg_foreign_data_wrapper",
        "pg_foreign_server",
        "pg_language",
        "pg_namespace",
        "pg_opclass",
        "pg_opfamily",
        "pg_proc",
        "pg_range",
        "pg_subscription",
        "pg_transform",
        "pg_ts_parser",
        "pg_ts_template",
        "pg_type",
    }
)

_Key = tuple[str, str]


def remade(
    books: Accounts, items: Sequence[Difference], sides: tuple[Naming, Naming], known: Claims
) -> Iterator[Difference]:
    """Pair what is gone with what came under the same name, and tell what the ledger has to report of each pair.

    Only of objects that no judge lists as dropped or created. A part of one (an operator of a family) that did not
    come back is reported as gone.
    """
    rows = [item for item in items if item.column == WHOLE_ROW and item.row.table in COMPARED]
    gone, come = (
        {
            key: item
            for item in rows
            if item.event is event and not books.is_dropped_or_made(item) and (key := _key(item, side))
        }
        for event, side in ((Event.REMOVED, sides[0]), (Event.ADDED, sides[1]))
    )
    back = {books.identities.get(item.address) for item in come.values()} - {None}
    for key, item in gone.items():
        again = come.get(key)
        if again is not None:
            yield from _differing(item, again, sides, known)
        elif item.row.table in ("pg_amop", "pg_amproc") and books.identities.get(item.address) in back:
            yield _as_lost(item)


def _key(item: Difference, side: Naming) -> _Key | None:
    row = item.row.row
    own = Address(item.row.table, number(row["oid"])) if row.get("oid") else item.address
    named = side.identify(own)
    return (item.row.table, str(named)) if named else None


def _as_lost(item: Difference) -> Difference:
    claim = item.claim
    lost = Claim(item.row.table, WHOLE_ROW, 0, 0, item.event, (), "ledger", frozenset(), secret=False, words="member")
    return Difference(item.row, item.column, item.address, item.sort, claim and lost, remade=True)


def _differing(old: Difference, new: Difference, sides: tuple[Naming, Naming], known: Claims) -> Iterator[Difference]:
    table = old.row.table
    one, two = old.row.row, new.row.row
    row = RowChange(table, Event.CHANGED, one, two, tuple(column for column in one if one[column] != two.get(column)))
    for column in row.columns:
        claim = known.claim(table, column, Event.CHANGED, new.sort)
        if claim is None or claim.judge not in ("ledger", "privileges"):
            continue
        named = [side.value(table, column, values[column]) for side, values in zip(sides, (one, two), strict=True)]
        if named[0] != named[1] or claim.judge == "privileges":
            yield Difference(row, column, new.address, new.sort, claim, remade=True)
