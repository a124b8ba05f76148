"""What remedies are made from: both catalogs of a rehearsal, and what each partition demands of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, last, parts, quoted
from pytest_dryrun.sql.places import words

NAME_BYTES = 63
# The default partition is everybody's rest: what it demands changes with each new partition.
_BOUNDS = """
SELECT format('%I.%I', n.nspname, c.relname), pg_get_partition_constraintdef(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relispartition AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'"""


@dataclass(frozen=True, slots=True)
class Facts:
    """Catalogs before and after the migrations; `bounds` maps a partition to the condition its rows fulfil."""

    before: Catalog
    after: Catalog
    bounds: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, scene: Scene) -> Facts:
        """The facts of a rehearsal; the copy is asked for its partitions' conditions."""
        partitions = any("partition_bound" in item.attributes for item in scene.after.of_kind("table"))
        bounds = {}
        if partitions:
            with scene.copy.transaction():
                scene.copy.execute("SET LOCAL search_path = pg_catalog")
                bounds = dict(scene.copy.execute(_BOUNDS).fetchall())
        return cls(scene.before, scene.after, bounds)

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.after.version_num // 10_000

    def table(self, name: str) -> CatalogObject | None:
        """The table of now that had this name before, or has it."""
        old = self.before.find("table", name)
        same = [item for item in self.after.of_kind("table") if old is not None and item.oid == old.oid]
        return same[0] if same else self.after.find("table", name)

    def new(self, kind: str, table: str) -> tuple[CatalogObject, ...]:
        """What a table has of a kind that was not there before."""
        known = {(item.oid, item.number) for item in self.before.of_kind(kind)}
        return tuple(item for item in self.after.children(table, kind) if (item.oid, item.number) not in known)

    def is_new(self, item: CatalogObject) -> bool:
        """Whether nothing of its kind had its oid before."""
        return all(old.oid != item.oid or old.number != item.number for old in self.before.of_kind(item.kind))

    def parent(self, table: str) -> str | None:
        """The partitioned table of which this is a partition."""
        item = self.after.find("table", table)
        return item.attributes["inherits"][0] if item and "partition_bound" in item.attributes else None

    def roots(self, table: str) -> Iterator[str]:
        """The table and those above it, the topmost last."""
        here: str | None = table
        while here is not None:
            yield here
            here = self.parent(here)

    def partitions(self, table: str) -> list[CatalogObject]:
        """The direct partitions of a table."""
        return [
            item
            for item in self.after.of_kind("table")
            if "partition_bound" in item.attributes and item.attributes["inherits"][0] == table
        ]

    def leaves(self, table: str) -> Iterator[str]:
        """The partitions that hold rows, of all levels."""
        for item in self.partitions(table):
            if self.partitioned(item.identity):
                yield from self.leaves(item.identity)
            else:
                yield item.identity

    def partitioned(self, table: str) -> bool:
        """Whether the table is partitioned itself."""
        item = self.after.find("table", table)
        return item is not None and item.details["relkind"] == "p"

    def columns(self, table: str, numbers: Sequence[int]) -> list[CatalogObject]:
        """Columns by their numbers, in the numbers' order."""
        known = {item.number: item for item in self.after.children(table, "column")}
        return [known[number] for number in numbers if number in known]

    def index_of(self, constraint: CatalogObject) -> CatalogObject | None:
        """The index behind a unique, primary key or exclusion constraint."""
        found = self.after.children(str(constraint.parent), "index")
        return next((item for item in found if item.oid == constraint.details["index"]), None)

    def constraint_of(self, index: CatalogObject) -> CatalogObject | None:
        """The unique, primary key or exclusion constraint that an index serves."""
        found = self.after.children(str(index.parent), "constraint")
        own = [item for item in found if item.attributes["type"] in ("unique", "primary key", "exclude")]
        return next((item for item in own if item.details["index"] == index.oid), None)

    def key(self, table: str) -> list[str]:
        """The columns of the primary key that the table had before, quoted; none where it had none."""
        old = [item for item in self.after.children(table, "constraint") if item.attributes["type"] == "primary key"]
        index = self.index_of(old[0]) if old and not self.is_new(old[0]) else None
        return [last(item.identity) for item in self.columns(table, index.details["keys"])] if index else []

    def names(self, table: str) -> set[str]:
        """The names that are taken in a table's schema."""
        schema = bare(parts(table)[0])
        return {item.name for item in self.after.objects if item.schema == schema}

    def unused(self, table: str, *endings: str) -> str:
        """A name for something that belongs to a table, free and short enough, quoted."""
        taken = self.names(table)
        return named(table, *endings, taken=taken)


def named(table: str, *endings: str, taken: Sequence[str] | set[str] = ()) -> str:
    """A quoted name made of the table's own and these parts, with a number where it is taken."""
    stem = "_".join([bare(last(table)), *(bare(ending) for ending in endings[:-1])])
    for number in range(1000):
        ending = f"_{endings[-1]}" + (str(number) if number else "")
        room = NAME_BYTES - len(ending.encode())
        name = stem.encode()[:room].decode(errors="ignore") + ending
        if name not in taken:
            return quoted(name)
    raise LookupError(f"no name is free for {table}")


def beside(table: str, name: str) -> str:
    """The quoted name of something in the table's schema."""
    return f"{parts(table)[0]}.{name}"


def spoken(items: Sequence[CatalogObject], statement: str) -> tuple[CatalogObject, ...]:
    """Those of some objects that a statement names, all of them where it names none."""
    if len(items) < 2:
        return tuple(items)
    said = frozenset(words(statement))
    found = tuple(item for item in items if item.name in said or item.name.lower() in said)
    return found or tuple(items)
