"""Columns that code of the target fills from others: by triggers, rewrite rules and defaults."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from appliance.sql.catalog import Catalog, Function, Relation, Trigger
from appliance.sql.facts import Name
from appliance.sql.fills import Fill, Fills, Made, fills_of
from appliance.sql.native import PgQuery

Place = tuple[int, int]  # (relation's OID, attribute number)

_TABLES = "rpf"
# Trigger functions in C that come with PostgreSQL and pass nothing on.
_KNOWN = frozenset({"moddatetime", "autoinc", "insert_username", "lo_manage"})
_TEXT_SEARCH = frozenset({"tsvector_update_trigger", "tsvector_update_trigger_column"})
_MAX_CALLS = 16  # functions that call functions


class Filled:
    """Which columns get values of which others. ``safe``: globs of code that passes nothing on."""

    def __init__(self, catalog: Catalog, safe: tuple[str, ...]) -> None:
        self._catalog = catalog
        self._safe = safe
        self._library: PgQuery | None = None
        self._known: dict[int, Fills] = {}
        self._triggers = [one for one in catalog.triggers if not self._is_safe(one.function)]

    def from_column(self, relation: Relation, column: str) -> set[Place]:
        """Return the columns that may hold values computed from one column of a relation."""
        if relation.kind not in _TABLES:
            return set()
        found: set[Place] = set()
        for trigger in self._triggers:
            found |= self._by_trigger(trigger, relation, column)
        for oid, number, function in self._catalog.defaults:
            if not self._is_safe(function) and any(
                self._looks_into(one, relation) for one in self._functions(function)
            ):
                found.add((oid, number))
        for rule in self._catalog.rules(relation.oid):
            for oid in rule.reach.relations if rule.event != "select" else ():
                other = self._catalog.by_oid(oid)
                if other is not None and oid != relation.oid and other.kind in _TABLES:
                    found |= _places(other, None)
        return found

    def _by_trigger(self, trigger: Trigger, relation: Relation, column: str) -> set[Place]:
        is_here = trigger.relation == relation.oid
        name = trigger.function
        if name.schema == "pg_catalog":
            if is_here and name.name in _TEXT_SEARCH and column in trigger.arguments[2:]:
                return _places(relation, trigger.arguments[0])
            return set()
        found: set[Place] = set()
        for function in self._functions(name):
            if function.language == "c":
                found |= self._by_unread(trigger, relation, column) if is_here else set()
                continue
            if not is_here and not self._looks_into(function, relation):
                continue
            for fill in self._stores(function):
                if self._is_made_from(fill.made, relation, column):
                    found |= self._targets(fill, trigger)
        return found

    def _by_unread(self, trigger: Trigger, relation: Relation, column: str) -> set[Place]:
        """Return what a trigger in C may fill: its own row, and relations that its words name."""
        if trigger.function.name in _KNOWN:
            return set()
        found = _places(relation, None) if trigger.changes_row else set()
        for word in trigger.arguments:
            schema, dot, name = word.rpartition(".")
            for other in self._relations(Name(schema if dot else None, name)):
                found |= _places(other, column)
        return found

    def _targets(self, fill: Fill, trigger: Trigger) -> set[Place]:
        if fill.relation is not None:
            return {
                place
                for other in self._relations(fill.relation)
                for place in _places(other, fill.column)
            }
        own = self._catalog.by_oid(trigger.relation)
        return _places(own, fill.column) if own is not None and trigger.changes_row else set()

    def _stores(self, function: Function) -> Iterator[Fill]:
        """Yield what a function fills, by itself and by those that it calls."""
        yield from self._fills(function).fills
        for called in self._called(function):
            if called.language == "c":
                continue
            is_sql = called.language == "sql"  # its parameters look like columns
            for fill in self._fills(called).fills:
                if fill.relation is not None:
                    yield Fill(
                        fill.relation,
                        fill.column,
                        Made(is_whole=True) if is_sql else fill.made,
                    )

    def _is_made_from(self, made: Made, relation: Relation, column: str) -> bool:
        if made.is_whole or column in made.columns:
            return True
        return any(self._gives(name, relation) for name in made.calls)

    def _gives(self, name: Name, relation: Relation) -> bool:
        """Return whether what a function gives may hold more than its arguments do."""
        functions = self._functions(name)
        if not functions:
            return not self._is_safe(name)  # built in, and not known to be harmless
        return any(
            (function.language == "c" and "dblink" in name.name)
            or (function.language != "c" and self._fills(function).is_open)
            or self._looks_into(function, relation)
            for function in functions
            if not self._is_safe(function.name)
        )

    def _looks_into(self, function: Function, relation: Relation) -> bool:
        """Return whether a function reads a relation, by itself or by those that it calls."""
        for one in (function, *self._called(function)):
            for read in self._fills(one).reads if one.language != "c" else ():
                if read.name == relation.name.name and read.schema in (
                    None,
                    relation.name.schema,
                ):
                    return True
        return False

    def _called(self, function: Function) -> list[Function]:
        found: dict[int, Function] = {}
        pending = [function]
        while pending and len(found) < _MAX_CALLS:
            for name in self._fills(pending.pop()).calls:
                for called in self._functions(name):
                    if called.oid not in found and not self._is_safe(called.name):
                        found[called.oid] = called
                        pending.append(called)
        return list(found.values())

    def _fills(self, function: Function) -> Fills:
        found = self._known.get(function.oid)
        if found is None:
            self._library = self._library or PgQuery(holds_lock=True)
            found = self._known[function.oid] = fills_of(function, self._library)
        return found

    def _functions(self, name: Name) -> list[Function]:
        return [
            one
            for one in self._catalog.functions(name.name)
            if name.schema in (None, one.name.schema)
        ]

    def _relations(self, name: Name) -> list[Relation]:
        return [
            one
            for one in self._catalog.named(name.name)
            if name.schema in (None, one.name.schema) and one.kind in _TABLES
        ]

    def _is_safe(self, name: Name) -> bool:
        return any(fnmatchcase(str(name), pattern) for pattern in self._safe)


def _places(relation: Relation, column: str | int | None) -> set[Place]:
    """Return one column's place, by name or by its place in the text; None = all columns."""
    columns = relation.columns or ()
    if isinstance(column, int):
        columns = columns[column : column + 1]
    return {
        (relation.oid, one.number)
        for one in columns
        if not isinstance(column, str) or one.name == column
    }
