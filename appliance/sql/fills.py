"""What a function's body stores where: the columns that triggers fill, and with what.

A value is told by the names of the columns that it is made from, whatever they are columns of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from appliance.sql.analysis import MAX_BODY, is_slow
from appliance.sql.builtins import builtins
from appliance.sql.catalog_rows import Function
from appliance.sql.facts import Name
from appliance.sql.native import GrammarError, PgQuery
from appliance.sql.plpgsql import Body, Kind, NotUnderstood, read_body
from appliance.sql.walker import name_of, range_name, strings

Node = dict[str, Any]

_ROWS = ("new", "old")
# Not pure, but what they give was never a column's.
_STATELESS = frozenset(
    {"nextval", "currval", "lastval", "setval", "current_setting", "pg_notify", "txid_current"}
)
_TELLS_TEXT = frozenset({"current_query"})  # the statement, with the values in it


@dataclass(frozen=True, slots=True)
class Made:
    """What a value is made from: columns by name, functions' results; ``is_whole``: whole rows."""

    columns: frozenset[str] = frozenset()
    calls: frozenset[Name] = frozenset()
    is_whole: bool = False

    def __or__(self, other: Made) -> Made:
        return Made(
            self.columns | other.columns, self.calls | other.calls, self.is_whole or other.is_whole
        )


NOTHING, ANYTHING = Made(), Made(is_whole=True)


@dataclass(frozen=True, slots=True)
class Fill:
    """A column that gets a value. ``relation`` None: of the row that a trigger is fired for.

    ``column``: its name, or its place where the text names none; None: it may be any.
    """

    relation: Name | None
    column: str | int | None
    made: Made


@dataclass(frozen=True, slots=True)
class Fills:
    """What a body does. ``reads``: relations that it looks into.

    ``is_open``: it runs text that it builds, or cannot be read at all.
    """

    fills: tuple[Fill, ...] = ()
    reads: frozenset[Name] = frozenset()
    calls: frozenset[Name] = frozenset()
    is_open: bool = False


UNREADABLE = Fills((Fill(None, None, ANYTHING),), is_open=True)


def fills_of(function: Function, library: PgQuery) -> Fills:
    """Return what a function stores, by its body alone."""
    source = function.source
    if source is None or len(source) > MAX_BODY or is_slow(source) or "\0" in source:
        return UNREADABLE
    data = source.encode()
    try:
        if function.language == "sql":
            statements = orjson.loads(library.parse(data)).get("stmts", [])
            return _Reader({}).read([entry["stmt"] for entry in statements])
        if function.language != "plpgsql":
            return UNREADABLE
        body = read_body(data, library.scan(data), function.parameters)
        return _plpgsql(body, function.parameters, library)
    except (GrammarError, NotUnderstood, ValueError, RecursionError):
        return UNREADABLE
    except (LookupError, TypeError, AttributeError):  # a tree that is not as it is known here
        return UNREADABLE


def _plpgsql(body: Body, parameters: tuple[str, ...], library: PgQuery) -> Fills:
    stored = [
        (one.name, None if one.text is None else _statements(one.text, library)[0])
        for one in body.stores
    ]
    variables: dict[str, Made] = dict.fromkeys(body.variables, NOTHING)
    variables |= dict.fromkeys((*parameters, "sqlerrm"), ANYTHING)
    for _ in range(len(stored) + 1):  # what goes from one variable into another
        before = dict(variables)
        for name, value in stored:
            if name[0] not in _ROWS:
                made = ANYTHING if value is None else _Reader(variables).expression(value)
                variables[name[0]] = variables.get(name[0], NOTHING) | made
        if variables == before:
            break
    reader = _Reader(variables)
    for name, value in stored:
        if name[0] == "new":
            column = name[1] if len(name) > 1 else None
            if column is None and value is not None and _is_row(value):
                continue  # RETURN NEW
            made = ANYTHING if value is None else reader.expression(value)
            reader.fills.append(Fill(None, column, made))
    pieces = [node for one in body.pieces for node in _statements(one.text, library)]
    found = reader.read(pieces)
    return replace(found, is_open=any(piece.kind is not Kind.STATIC for piece in body.pieces))


def _statements(text: bytes, library: PgQuery) -> list[Node]:
    return [entry["stmt"] for entry in orjson.loads(library.parse(text)).get("stmts", [])]


def _is_row(statement: Node) -> bool:
    """Return whether an expression is NEW, OLD or NULL."""
    (target,) = statement["SelectStmt"]["targetList"]
    value = target["ResTarget"]["val"]
    if "A_Const" in value:
        return bool(value["A_Const"].get("isnull"))
    names = strings(value.get("ColumnRef", {}).get("fields"))
    return len(names) == 1 and names[0] in _ROWS


class _Reader:
    """Reads statements and expressions under the variables of a body."""

    def __init__(self, variables: Mapping[str, Made]) -> None:
        self._variables = variables
        self._builtins = builtins()
        self._rows: frozenset[str] = frozenset(_ROWS)  # what stands for a whole row by itself
        self.fills: list[Fill] = []

    def read(self, statements: Iterable[Node]) -> Fills:
        """Return what the statements store and look into."""
        reads: set[Name] = set()
        calls: set[Name] = set()
        for statement in statements:
            self._rows = _rows_in(statement)
            written: set[int] = set()
            for tag, node in _nodes(statement):
                if tag in ("InsertStmt", "UpdateStmt", "MergeStmt"):
                    written.add(id(node["relation"]))
                    self._write(tag, node)
            reads |= {
                range_name(node)
                for tag, node in _nodes(statement)
                if "relname" in node and id(node) not in written
            }
            calls |= self.expression(statement).calls
        return Fills(tuple(self.fills), frozenset(reads), frozenset(calls))

    def expression(self, node: Any) -> Made:
        """Return what anything in a tree is made from."""
        made = NOTHING
        rows = self._rows | _rows_in(node)
        for tag, inner in _nodes(node):
            if tag == "ColumnRef":
                made |= self._reference(inner, rows)
            elif tag == "FuncCall":
                made |= self._call(name_of(strings(inner.get("funcname"))))
            elif tag == "ParamRef":
                made |= ANYTHING
        return made

    def _reference(self, node: Node, rows: frozenset[str]) -> Made:
        names = strings(node.get("fields"))
        if len(names) < len(node.get("fields", ())) or names == []:
            return ANYTHING  # a star
        if len(names) == 1 and names[0] in rows:
            return ANYTHING
        if names[0] in self._variables and names[0] not in _ROWS:
            return self._variables[names[0]] | Made(frozenset(names[1:]))
        return Made(frozenset(names[-1:]))

    def _call(self, name: Name) -> Made:
        plain = name.name if name.schema in (None, "pg_catalog") else ""
        if plain in _TELLS_TEXT:
            return ANYTHING
        if self._builtins.is_harmless(plain) or plain in _STATELESS:
            return NOTHING
        return Made(calls=frozenset({name}))

    def _write(self, tag: str, node: Node) -> None:
        relation = range_name(node["relation"])
        if tag == "InsertStmt":
            self._insert(relation, node)
        elif tag == "UpdateStmt":
            self._set(relation, node.get("targetList"), {})
        else:
            for clause in node.get("mergeWhenClauses", ()):
                when = clause["MergeWhenClause"]
                self._set(relation, when.get("targetList"), {})
                for value in when.get("values", ()):
                    self.fills.append(Fill(relation, None, self.expression(value)))

    def _insert(self, relation: Name, node: Node) -> None:
        names = [column["ResTarget"].get("name", "") for column in node.get("cols", ())]
        select = node.get("selectStmt", {}).get("SelectStmt", {})
        rows = [row["List"].get("items", []) for row in select.get("valuesLists", ())]
        targets = [target["ResTarget"] for target in select.get("targetList", ())]
        if targets and "larg" not in select:
            rows = [[target.get("val", {}) for target in targets]]
        values: dict[str, Made] = {}
        is_plain = bool(rows) and not any(map(_is_star, (v for row in rows for v in row)))
        if not is_plain and select:
            self.fills.append(Fill(relation, None, self.expression(select)))
        for row in rows if is_plain else ():
            for at, value in enumerate(row):
                made = self.expression(value)
                column: str | int = names[at] if at < len(names) else at
                self.fills.append(Fill(relation, column, made))
                if isinstance(column, str):
                    values[column] = values.get(column, NOTHING) | made
        clause = node.get("onConflictClause", {})
        self._set(relation, clause.get("targetList"), values)

    def _set(self, relation: Name, targets: Any, inserted: Mapping[str, Made]) -> None:
        for target in targets or ():
            entry = target["ResTarget"]
            made = self.expression(entry.get("val", {}))
            for name, value in inserted.items():
                if name in made.columns:  # excluded.name
                    made |= value
            self.fills.append(Fill(relation, entry.get("name"), made))


def _rows_in(tree: Any) -> frozenset[str]:
    """Return the names that stand for whole rows: of relations, sub-queries, NEW and OLD."""
    found = set(_ROWS)
    for _, node in _nodes(tree):
        found |= {str(node[key]) for key in ("relname", "aliasname", "ctename") if key in node}
    return frozenset(found)


def _is_star(value: Node) -> bool:
    fields = value.get("ColumnRef", {}).get("fields", ())
    return any("A_Star" in field for field in fields)


def _nodes(tree: Any) -> Iterable[tuple[str, Node]]:
    """Yield every (tag, node) of a tree, without recursion."""
    pending: list[tuple[str, Any]] = [("", tree)]
    while pending:
        tag, value = pending.pop()
        if isinstance(value, list):
            pending += [("", item) for item in value]
        elif isinstance(value, dict):
            yield tag, value
            pending += value.items()
