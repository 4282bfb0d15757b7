"""What an expression's value is computed from; what is not understood is computed from all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from typing import Any

from appliance.sql.builtins import Builtins
from appliance.sql.catalog_pins import FIRST_USER_OID
from appliance.sql.dependencies import Dependency, Kind, path_pin
from appliance.sql.facts import Name
from appliance.sql.lineage_calls import BOOLEAN_OPERATORS, EQUALITY
from appliance.sql.lineage_names import Level, Table
from appliance.sql.lookup import Scope
from appliance.sql.taint import (
    CONSTANT,
    ColumnId,
    Link,
    Taint,
    Write,
    computed,
    merged,
    tested,
    words_of,
)
from appliance.sql.walker import Node, name_of, strings

_CONSTANTS = frozenset(
    {"A_Const", "SetToDefault", "SQLValueFunction", "MergeSupportFunc", "CurrentOfExpr"}
)
# Their value is computed from their parts and nothing else.
_COMPOUND = words_of("""
    CoalesceExpr MinMaxExpr A_ArrayExpr RowExpr XmlExpr XmlSerialize CollateClause NamedArgExpr
    GroupingFunc GroupingSet CaseExpr CaseWhen List JsonObjectConstructor JsonArrayConstructor
    JsonArrayQueryConstructor JsonObjectAgg JsonArrayAgg JsonAggConstructor JsonKeyValue
    JsonValueExpr JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonFuncExpr JsonArgument
    JsonBehavior JsonOutput JsonReturning JsonFormat SortBy WindowDef ResTarget
    MultiAssignRef A_Indices TypeName String Integer Float Boolean BitString RangeTableFunc
    RangeTableFuncCol JsonTable JsonTableColumn JsonTablePathSpec DefElem IndexElem""")
# They tell true or false about their parts.
_TELLING = frozenset({"BoolExpr", "BooleanTest", "NullTest", "JsonIsPredicate"})
_BOOLEAN_KINDS = words_of("""
    AEXPR_DISTINCT AEXPR_NOT_DISTINCT AEXPR_IN AEXPR_LIKE AEXPR_ILIKE AEXPR_SIMILAR
    AEXPR_BETWEEN AEXPR_NOT_BETWEEN AEXPR_BETWEEN_SYM AEXPR_NOT_BETWEEN_SYM""")
# Operators that a construct uses without naming them.
_IMPLIED = {
    "AEXPR_NULLIF": ("=",),
    "AEXPR_BETWEEN": (">=", "<="),
    "AEXPR_NOT_BETWEEN": ("<", ">"),
    "AEXPR_BETWEEN_SYM": (">=", "<="),
    "AEXPR_NOT_BETWEEN_SYM": ("<", ">"),
}
SURE_LANGUAGES = frozenset({"internal", "c"})  # only a superuser can make an operator of those


# Expressions that are read for one statement, some of them more than once (recursive queries).
MAX_STEPS = 20_000


class NotKnownError(Exception):
    """Nothing can be said about a statement; the message says why."""


class Expressions(ABC):
    """Reads expressions; what they reach is gathered here."""

    def __init__(self, scope: Scope, builtins: Builtins) -> None:
        self.scope = scope
        self.catalog = scope.catalog
        self.builtins = builtins
        self.used: set[ColumnId] = set()
        self.opaque: set[str] = set()
        self.code_read: set[str] = set()  # users' functions whose bodies are known where called
        self.inspects: set[str] = set()
        self.writes: list[Write] = []
        self.sizes: set[ColumnId] = set()
        self.size_code: set[str] = set()
        self.links: set[Link] = set()
        self.folded: list[Taint] = []  # what functions gave, which a plan may show as a constant
        # In a view: the functions that its tree calls; bare names mean those.
        self.called: frozenset[str] | None = None
        self.depends: set[Dependency] = set()
        self.is_bound = False
        self.seen: tuple[int, ...] = ()  # the definitions that are being read
        self._steps_left = MAX_STEPS
        self.shown_again: set[ColumnId] = set()  # columns of views that show others
        self._rows = count(1)

    @abstractmethod
    def query(self, node: Node, parent: Level | None) -> Table:
        """Return the outputs of a query inside of a statement."""

    @abstractmethod
    def call(self, node: Node, level: Level) -> Taint:
        """Return what a function gives as one value."""

    def depend(self, kind: Kind, name: str) -> None:
        """Note that the statement's meaning rests on all objects of that name."""
        pin = self.catalog.pin(kind, name)
        self.depends.add(Dependency(kind, name, pin))
        if pin and self.scope.path is not None:  # which of them is meant, the path decides
            path = path_pin(self.scope.path)
            self.depends.add(Dependency(Kind.PATH, "", path))

    def pinned(self, oid: int) -> None:
        """Note that a relation must be as it is now."""
        if oid >= FIRST_USER_OID:
            pin = self.catalog.pin(Kind.RELATION, str(oid))
            self.depends.add(Dependency(Kind.RELATION, str(oid), pin))

    def step(self, count: int = 1) -> None:
        """Count what is read; a statement whose parts are read again and again is given up."""
        self._steps_left -= count
        if self._steps_left < 0:
            raise NotKnownError("the statement is too complex to be analysed")

    def row(self) -> int:
        """Return a number for one more item of a FROM."""
        return next(self._rows)

    def use(self, taint: Taint) -> Taint:
        """Note that something else than a plain output looks at a value."""
        self.used |= taint.columns
        return taint

    def size(self, taint: Taint) -> None:
        """Note what a number of rows is made from."""
        self.sizes |= self.use(taint).columns
        self.size_code |= taint.opaque

    def link(self, taint: Taint, *, is_equality: bool) -> Taint:
        """Return a comparison of values as what tells about several rows, where it is such.

        What the author of a view or function compares is masked, never refused.
        """
        if len(taint.rows) < 2 or len(taint.columns) < 2:
            return taint
        columns = taint.columns - self.shown_again or taint.columns
        found = Link(columns, is_equality or bool(self.seen))
        return replace(taint, links=taint.links | {found})

    def test(self, node: Any, level: Level) -> None:
        """Read what only decides about rows or their order."""
        level.tests |= self.deciding(node, level).columns

    def deciding(self, node: Any, level: Level) -> Taint:
        """Return what conditions or orders are made from; what they compare counts from here."""
        parts = node if isinstance(node, list) else [node]
        value = self.use(computed([self._predicate(part, level) for part in parts if part]))
        self.links |= value.links
        return value

    def _predicate(self, node: Node, level: Level) -> Taint:
        """Return what a condition, or what rows are put in order by, is computed from."""
        if "BoolExpr" in node:
            given = [self._predicate(part, level) for part in node["BoolExpr"].get("args", ())]
            return self.use(computed(given))
        kept = node["SortBy"].get("node", {}) if "SortBy" in node else node
        value = self.expression(kept, level) if len(kept) == 1 else self.parts(kept, level)
        if kept.keys() & {"A_Expr", "SubLink"} or (value.is_told and value.links):
            return value  # it knows what it compares
        return self.link(value, is_equality=False)

    def parts(self, value: Any, level: Level) -> Taint:
        """Return what is computed from everything in a node or a list."""
        if isinstance(value, list):
            return computed([self.parts(item, level) for item in value])
        if not isinstance(value, dict):
            return CONSTANT
        found = []
        for key, child in value.items():
            if not isinstance(child, dict | list):
                continue
            if key[:1].isupper() and isinstance(child, dict):
                found.append(self.expression({key: child}, level))
            elif key in ("typeName", "typename") and isinstance(child, dict):
                found.append(self.type_(child))
            elif isinstance(child, dict) and "subselect" in child:
                found.append(self.expression({"SubLink": child}, level))
            elif isinstance(child, dict) and ("targetList" in child or "valuesLists" in child):
                found.append(self.query(child, level).whole())
            else:
                found.append(self.parts(child, level))
        return computed(found)

    def expression(self, node: Node, level: Level) -> Taint:
        """Return what one expression's value carries."""
        self.step()
        for tag, body in node.items():
            if tag in _CONSTANTS:
                return CONSTANT
            method = getattr(self, f"_{tag}", None)
            if method is not None:
                found: Taint = method(body, level)
                return found
            if tag in _TELLING:
                return tested([self.use(self.parts(body, level))])
            if tag in _COMPOUND:
                return self.use(self.parts(body, level))
            return self.use(computed([self.parts(body, level), level.everything()]))
        return CONSTANT

    def _ParamRef(self, node: Node, level: Level) -> Taint:
        return level.parameter(node.get("number", 0))

    def _ColumnRef(self, node: Node, level: Level) -> Taint:
        fields = node.get("fields", [])
        names = strings(fields)
        if len(names) != len(fields):  # a star where one value stands: count(t.*), ROW(t.*)
            if not names:
                return computed([level.everything()])
            sources = level.aliased(names[-1], is_qualified=len(names) > 1)
            return computed([s.whole() for s in sources] or [level.everything()])
        if len(names) == 1:
            return level.bare_name(names[0])
        value = level.qualified(names)
        sources = level.aliased(names[-2], is_qualified=len(names) > 2)
        known = not sources or any(source.named(names[-1]) for source in sources)
        if known or not self.attribute(names[-1]):
            return value
        row = {"ColumnRef": {"fields": fields[:-1]}}  # a.f is f(a)
        return merged(value, self.call({"funcname": fields[-1:], "args": [row]}, level))

    def _A_Indirection(self, node: Node, level: Level) -> Taint:
        value = self.expression(node["arg"], level)
        steps = node.get("indirection", [])
        names = strings(steps)
        if len(steps) == 1 and len(names) == 1 and value.fields is not None:
            found = [taint for name, taint in value.fields if name == names[0]]
            if len(found) == 1:
                return replace(found[0], origin=None)
        parts = computed([value, self.parts(steps, level)])
        if names:  # perhaps a function of that name, called on the value
            parts = computed([parts, Taint(opaque=self.attribute(names[-1]))])
        return self.use(parts)

    def attribute(self, name: str) -> frozenset[str]:
        """Return the code of users that ``row.name`` may call."""
        return frozenset(
            str(function.name)
            for function in self.scope.functions(Name(None, name))
            if function.takes_row
        )

    def _A_Star(self, node: Node, level: Level) -> Taint:
        return CONSTANT

    def _FuncCall(self, node: Node, level: Level) -> Taint:
        return self.call(node, level)

    def _TypeCast(self, node: Node, level: Level) -> Taint:
        parts = [self.expression(node["arg"], level), self.type_(node.get("typeName", {}))]
        if parts[0] is CONSTANT and not parts[1].opaque:
            return CONSTANT
        return replace(self.use(computed(parts)), origin=None)

    def type_(self, node: Node) -> Taint:
        """Return what a cast to a type adds: the code of users behind it."""
        names = strings(node.get("names"))
        if not names:
            return CONSTANT
        name = names[-1]
        found = self.casting(name)
        if names[0] != "pg_catalog":
            self.depend(Kind.TYPE, name)
            self.depend(Kind.CASTS, "")
            if name in self.catalog.types:  # a domain's checks, casts to the type
                found |= self.unread(map(str, self.catalog.behind_type(name)))
                self.opaque |= self._checks(name)
        self.opaque |= found
        return Taint(opaque=found) if found else CONSTANT

    def _checks(self, name: str) -> frozenset[str]:
        """Return what runs when a value becomes one of the type, and may fail loudly."""
        active = name in self.catalog.active_types or self.catalog.behind_type(name)
        return frozenset({f"checks of {name}"}) if active else frozenset()

    def casting(self, type_name: str) -> frozenset[str]:
        """Return the code that nobody can read of the casts from and to a type."""
        return self.unread(self.catalog.coercions(type_name))

    @abstractmethod
    def unread(self, names: Iterable[str]) -> frozenset[str]:
        """Return those of the functions that read something, or of which that is not known."""

    def operator(self, name: Name) -> frozenset[str]:
        """Return the code of users that an operator of that name may run."""
        self.depend(Kind.OPERATOR, name.name)
        path = self.scope.path
        found = frozenset(
            str(operator.function)
            for operator in self.catalog.operators(name.name)
            if operator.language not in SURE_LANGUAGES
            and name.schema in (None, operator.name.schema)
            and (path is None or name.schema or operator.name.schema in path)
        )
        self.opaque |= found
        return found

    def operators(self, names: Iterable[str]) -> Taint:
        """Return what operators that are not written add."""
        return Taint(opaque=frozenset[str]().union(*(self.operator(Name(None, n)) for n in names)))

    def _A_Expr(self, node: Node, level: Level) -> Taint:
        sides = [side for side in (node.get("lexpr"), node.get("rexpr")) if side]
        parts = [self.parts(side, level) for side in sides]
        kind = node.get("kind", "")
        name = name_of(strings(node.get("name")))
        code = self.operators(_IMPLIED[kind]) if kind in _IMPLIED else CONSTANT
        if kind not in _IMPLIED:
            code = Taint(opaque=self.operator(name))
        if code.opaque:
            parts.append(code)
        whole = self.use(computed(parts))
        boolean = len(sides) == 2 and name.name in BOOLEAN_OPERATORS
        if (boolean or kind in _BOOLEAN_KINDS) and kind != "AEXPR_NULLIF":
            equality = name.name in EQUALITY and kind not in _IMPLIED
            return tested([self.link(whole, is_equality=equality)])
        if kind == "AEXPR_NULLIF":
            whole = self.link(whole, is_equality=True)
        return whole.via(f"operator {name.name}")

    def _SubLink(self, node: Node, level: Level) -> Taint:
        table = self.query(node["subselect"], level)
        inner = computed([table.whole(), Taint(tested=table.tests)])
        kind = node.get("subLinkType", "")
        if kind == "EXISTS_SUBLINK":  # what it selects is never looked at
            return tested([Taint(tested=table.tests, opaque=table.code)])
        self.use(table.whole())
        if kind in ("ANY_SUBLINK", "ALL_SUBLINK"):
            outer = self.use(self.parts(node.get("testexpr"), level))
            name = name_of(strings(node.get("operName")) or ["="])
            pair = computed([table.whole(), outer])
            pair = self.link(pair, is_equality=name.name in EQUALITY)
            both = [inner, pair, Taint(opaque=self.operator(name))]
            return tested(both) if name.name in BOOLEAN_OPERATORS else computed(both)
        if len(table.columns) == 1 and kind == "EXPR_SUBLINK" and not table.is_open:
            value = table.columns[0][1]
            return replace(value, plain=None, origin=(0, 0), fields=None)
        return computed([table.whole()])
