"""What a column's name means inside one query: the levels and what their FROM offers."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.sql.taint import CLEAN, ColumnId, Named, Taint, computed, merged

SYSTEM = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


@dataclass(slots=True)
class Source:
    """One item of a FROM. ``rest``: not None = it may have columns beyond those, of that taint.

    ``watched``: columns of it that must not be looked at (statistics, others' statements).
    """

    columns: list[Named]
    rest: Taint | None = None
    alias: str = ""
    watched: frozenset[str] = frozenset()
    name: str = ""
    hides_star: bool = False
    merged_names: frozenset[str] = frozenset()

    def whole(self) -> Taint:
        """Return the whole row as one value."""
        taint = computed([value for _, value in self.columns] + ([self.rest] if self.rest else []))
        return Taint(
            taint.sources,
            opaque=taint.opaque,
            made=taint.made,
            fields=tuple(self.columns) if self.rest is None else None,
        )


@dataclass(slots=True)
class Table:
    """The columns of a query's result; ``is_open``: there may be others or another number."""

    columns: list[Named] = field(default_factory=list)
    is_open: bool = False
    tests: frozenset[ColumnId] = frozenset()

    def whole(self) -> Taint:
        return computed(value for _, value in self.columns)


class Level:
    """One query level while it is being read."""

    def __init__(self, parent: Level | None) -> None:
        self.parent = parent
        self.sources: list[Source] = []  # that names reach
        self.items: list[Source] = []  # that a star shows, in order
        self.using: dict[str, Taint] = {}
        self.ctes: dict[str, Table] = {}
        self.tests: set[ColumnId] = set()
        self.parameters: tuple[Taint, ...] = ()
        self.bare: list[Source] = []

    def cte(self, name: str) -> Table | None:
        level: Level | None = self
        while level is not None:
            if name in level.ctes:
                return level.ctes[name]
            level = level.parent
        return None

    def everything(self) -> Taint:
        """Return all that is in sight, for what could not be placed."""
        level: Level | None = self
        found: list[Taint] = []
        while level is not None:
            found += [source.whole() for source in level.sources]
            level = level.parent
        return computed(found)

    def inspected(self, inspects: set[str], column: str | None = None) -> None:
        """Note the watched relations that a bare name, or anything (None), may read."""
        level: Level | None = self
        while level is not None:
            for source in level.sources:
                if source.watched and (column is None or column in source.watched):
                    inspects.add(source.name)
            level = level.parent

    def bare_name(self, name: str, inspects: set[str]) -> Taint:  # noqa: C901 - one loop
        """Return what a name without a qualifier means."""
        self.inspected(inspects, name)
        level: Level | None = self
        maybe: list[Taint] = []
        rows: list[Taint] = []
        while level is not None:
            if name in level.using:
                return _with(level.using[name], maybe)
            known = [
                value for source in level.sources for key, value in source.columns if key == name
            ]
            if known:
                found = known[0]
                for other in known[1:]:
                    found = merged(found, other)
                return _with(found, maybe)
            maybe += [source.rest for source in level.sources if source.rest is not None]
            for source in level.sources:
                if source.alias == name:
                    rows.append(source.whole())
                    if source.watched:
                        inspects.add(source.name)
            level = level.parent
        if name in SYSTEM:
            return CLEAN
        if rows:
            return _with(rows[0], maybe) if len(rows) == 1 else computed([*rows, *maybe])
        if maybe:
            return _some(maybe)
        self.inspected(inspects)
        return self.everything()

    def source(self, alias: str) -> list[Source]:
        """Return the items of that alias in the innermost level that has one."""
        level: Level | None = self
        while level is not None:
            found = [source for source in level.sources if source.alias == alias]
            if found:
                return found
            level = level.parent
        return []

    def qualified(self, alias: str, name: str, inspects: set[str]) -> Taint:
        """Return what ``alias.name`` means."""
        sources = self.source(alias)
        if not sources:
            self.inspected(inspects)
            return self.everything()
        found: list[Taint] = []
        for source in sources:
            if name in source.watched:
                inspects.add(source.name)
            values = [value for key, value in source.columns if key == name]
            if values:
                found += values
            elif source.rest is not None:
                found.append(source.rest)
            elif name in SYSTEM:
                found.append(CLEAN)
            else:  # a function called on the row
                if source.watched:
                    inspects.add(source.name)
                found.append(computed([source.whole()]))
        return _some(found)


def _some(found: list[Taint]) -> Taint:
    value = found[0]
    for other in found[1:]:
        value = merged(value, other)
    return value


def _with(value: Taint, maybe: list[Taint]) -> Taint:
    return _some([value, *maybe]) if maybe else value
