"""What a column's name means inside one query: the levels and what their FROM offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from appliance.sql.figures import UNSURE
from appliance.sql.taint import CLEAN, ColumnId, Named, Taint, computed, merged

SYSTEM = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


@dataclass(slots=True)
class Source:
    """One item of a FROM. ``rest``: not None = it may have columns beyond those, of that taint.

    ``is_made``: its rows stand for no stored ones. ``code``: users' code that makes its rows.
    """

    columns: list[Named]
    rest: Taint | None = None
    alias: str = ""
    is_made: bool = False
    code: frozenset[str] = frozenset()

    def whole(self) -> Taint:
        """Return the whole row as one value."""
        taint = computed([value for _, value in self.columns] + ([self.rest] if self.rest else []))
        fields = tuple(self.columns) if self.rest is None else None
        return replace(taint, origin=None, fields=fields)

    def named(self, name: str) -> list[Taint]:
        """Return the columns of that name; there may be several, then no name means them."""
        return [value for key, value in self.columns if key == name]

    def maybe(self) -> list[Taint]:
        """Return what a name that no column is known to have may mean here."""
        found = [value for key, value in self.columns if key == UNSURE]
        return found if self.rest is None else [*found, self.rest]

    def of_row(self, row: int) -> Source:
        """Return it with all values marked as those of one row."""
        columns = [(name, value.of_row(row)) for name, value in self.columns]
        rest = None if self.rest is None else self.rest.of_row(row)
        return replace(self, columns=columns, rest=rest)


@dataclass(slots=True)
class Table:
    """The columns of a query's result; ``is_open``: there may be others or another number."""

    columns: list[Named] = field(default_factory=list)
    is_open: bool = False
    tests: frozenset[ColumnId] = frozenset()
    is_made: bool = False
    code: frozenset[str] = frozenset()

    def whole(self) -> Taint:
        return computed(value for _, value in self.columns)

    def source(self, alias: str = "") -> Source:
        """Return it as an item of a FROM."""
        rest = self.whole() if self.is_open else None
        return Source(list(self.columns), rest, alias, self.is_made, self.code)


class Level:
    """One query level while it is being read."""

    def __init__(self, parent: Level | None, *, shares: Level | None = None) -> None:
        self.parent = parent
        self.sources: list[Source] = []  # that names reach
        self.items: list[Source] = []  # that a star shows, in order
        self.using: dict[str, Taint] = {}
        self.ctes: dict[str, Table] = {} if shares is None else shares.ctes
        self.tests: set[ColumnId] = set()
        self.parameters: tuple[Taint, ...] = ()
        self.is_made = False
        self.code: set[str] = set()

    def up(self) -> Iterator[Level]:
        """Yield this level and those around it."""
        level: Level | None = self
        while level is not None:
            yield level
            level = level.parent

    def outside(self) -> Level:
        """Return what a sub-select in FROM without LATERAL sees: nothing of this FROM."""
        return Level(self.parent, shares=self)

    def cte(self, name: str) -> Table | None:
        return next((level.ctes[name] for level in self.up() if name in level.ctes), None)

    def parameter(self, number: int) -> Taint:
        """Return the value of $number: the client's own, or what a body was called with."""
        for level in self.up():
            if level.parameters:
                given = level.parameters
                return given[number - 1] if 0 < number <= len(given) else computed(given)
        return CLEAN

    def everything(self) -> Taint:
        """Return all that is in sight, for what could not be placed."""
        return computed([source.whole() for level in self.up() for source in level.sources])

    def bare_name(self, name: str) -> Taint:
        """Return what a name without a qualifier means."""
        maybe: list[Taint] = []
        rows: list[Taint] = []
        for level in self.up():
            if name in level.using:
                return _some([level.using[name], *maybe])
            known = [value for source in level.sources for value in source.named(name)]
            if known:
                return _some([*known, *maybe])
            for source in level.sources:
                maybe += source.maybe()
                if source.alias == name:
                    rows.append(source.whole())
        if len(rows) == 1 and not maybe:
            return rows[0]
        if rows or maybe:
            return _some([*rows, *maybe])
        return CLEAN if name in SYSTEM else self.everything()

    def aliased(self, alias: str, *, is_qualified: bool = False) -> list[Source]:
        """Return the items of that alias in the innermost level that has one.

        ``is_qualified``: a schema stands before it, so an item of the same name from another
        schema may be passed over: then those of all levels.
        """
        found: list[Source] = []
        for level in self.up():
            found += [source for source in level.sources if source.alias == alias]
            if found and not is_qualified:
                break
        return found

    def qualified(self, names: list[str]) -> Taint:
        """Return what ``alias.name`` or ``schema.table.name`` means."""
        *schema, alias, name = names
        sources = self.aliased(alias, is_qualified=bool(schema))
        if not sources:
            return self.everything()
        found: list[Taint] = []
        for source in sources:
            values = source.named(name) or source.maybe()
            if not values and name not in SYSTEM:  # a function called on the row
                values = [computed([source.whole()])]
            found += values or [CLEAN]
        return _some(found)


def _some(found: list[Taint]) -> Taint:
    value = found[0]
    for other in found[1:]:
        value = merged(value, other)
    return value
