"""The rows of a catalog as values: relations, rules, functions, operators."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from appliance.sql.facts import Name

_SETTING = re.compile(r"set_config|execute", re.IGNORECASE)  # or a text that is built
_OPENING = re.compile(r"open|cursor|execute", re.IGNORECASE)
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"})
# Query.commandType as the server writes it into rules and bodies.
_COMMANDS = {1: "select", 2: "update", 3: "insert", 4: "delete", 5: "merge"}


@dataclass(frozen=True, slots=True)
class Column:
    number: int
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view, index … ``kind`` is pg_class.relkind. ``owner``: of an index or TOAST table.

    ``columns``: None where the catalog does not say (system relations).
    """

    oid: int
    name: Name
    kind: str
    owner: int = 0
    columns: tuple[Column, ...] | None = None

    @property
    def is_system(self) -> bool:
        return self.name.schema in ("pg_catalog", "information_schema")

    def own(self, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Return those of the names that are columns of it; a bare name may be another's."""
        if columns is None or self.columns is None:
            return columns
        mine = {column.name for column in self.columns}
        return tuple(name for name in columns if name in mine or name in SYSTEM_COLUMNS)

    def has_column(self, name: str) -> bool | None:
        """Return whether it has a column of that name; None when the columns are not known."""
        if self.columns is None:
            return None
        return any(column.name == name for column in self.columns)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a rule or a body uses: relations by OID, functions, the kinds of commands in it."""

    relations: tuple[int, ...] = ()
    functions: tuple[Name, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rewrite rule. ``event``: "select" (a view's definition), "update", "insert", "delete"."""

    event: str
    is_instead: bool
    reach: Reach


@dataclass(frozen=True, slots=True)
class Function:
    """A function that is not built in.

    ``source``, ``reach``: the body of one in language sql, as its text or as what it reaches; of
    one in plpgsql its text (None: too large), with the names of its ``parameters``.
    ``takes_row``: its first argument may be a row, so that ``row.name`` calls it.
    """

    name: Name
    arguments: int
    language: str
    volatility: str
    source: str | None = None
    reach: Reach | None = None
    search_path: tuple[str, ...] | None = None
    oid: int = 0
    takes_row: bool = False
    parameters: tuple[str, ...] = ()

    @property
    def sets_settings(self) -> bool:
        """Return whether it may give a setting a value that is not written in it.

        SET takes only what is written; C code comes with the server and its extensions.
        """
        if self.language in ("c", "internal"):
            return False
        if self.reach is not None:
            return any(called.name == "set_config" for called in self.reach.functions)
        return self.source is None or _SETTING.search(self.source) is not None

    @property
    def opens_cursors(self) -> bool:
        """Return whether it may open a cursor under a name that is known outside of it."""
        if self.language in ("c", "internal"):
            return False
        return self.reach is None and (
            self.source is None or _OPENING.search(self.source) is not None
        )


@dataclass(frozen=True, slots=True)
class Operator:
    name: Name
    function: Name
    language: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger, enabled or not. ``changes_row``: what it returns is what gets stored."""

    relation: int
    function: Name
    changes_row: bool
    arguments: tuple[str, ...] = ()


_ROW, _BEFORE, _INSTEAD = 1, 2, 64  # of pg_trigger.tgtype


def grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, tuple[Any, ...]]:
    lists: dict[Any, list[Any]] = {}
    for key, value in pairs:
        lists.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in lists.items()}


def relation_of(row: list[Any]) -> Relation:
    oid, schema, name, kind, owner, columns = row
    known = None if columns is None else tuple(Column(*column) for column in columns)
    return Relation(oid, Name(schema, name), kind, owner, known)


def reach_of(relations: Any, functions: Any, commands: Any) -> Reach:
    names = (function.partition(".") for function in functions or ())
    return Reach(
        tuple(relations or ()),
        tuple(Name(schema, name) for schema, _, name in names),
        tuple(_COMMANDS.get(command, "unknown") for command in commands or ()),
    )


def trigger_of(row: list[Any]) -> Trigger:
    relation, schema, function, kind, arguments = row
    given = tuple((arguments or "").split("\\000")[:-1])
    changes = bool(kind & _ROW and kind & (_BEFORE | _INSTEAD))
    return Trigger(relation, Name(schema, function), changes, given)


def rule_of(row: list[Any]) -> Rule:
    _, event, is_instead, relations, functions, commands = row
    return Rule(
        _COMMANDS.get(int(event), "unknown"), is_instead, reach_of(relations, functions, commands)
    )


def function_of(row: list[Any], bodies: dict[int, tuple[Any, Any]]) -> Function:
    schema, name, arguments, language, volatility, source, *tree, path, oid, takes_row = row
    text, parameters = bodies.get(oid, (source, None))
    reach = reach_of(*tree) if any(part is not None for part in tree) else None
    return Function(
        Name(schema, name),
        arguments,
        language,
        volatility,
        text,
        reach,
        None if path is None else tuple(part.strip().strip('"') for part in path.split(",")),
        oid,
        takes_row,
        tuple(parameters or ()),
    )
