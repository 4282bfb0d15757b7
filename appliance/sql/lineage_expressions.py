"""What an expression's value is computed from; what is not understood is computed from all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from appliance.sql.builtins import Builtins
from appliance.sql.dependencies import Dependency, Kind, path_pin
from appliance.sql.facts import Name
from appliance.sql.lineage_calls import (
    BOOLEAN_FUNCTIONS,
    BOOLEAN_OPERATORS,
    HARMLESS,
    REVEALING,
    SENDING,
)
from appliance.sql.lineage_names import Level, Table
from appliance.sql.lookup import Scope
from appliance.sql.taint import CONSTANT, ColumnId, Taint, Write, computed, tested
from appliance.sql.walker import Node, name_of, strings

_CONSTANTS = frozenset(
    {"A_Const", "SetToDefault", "SQLValueFunction", "MergeSupportFunc", "CurrentOfExpr"}
)
# Their value is computed from their parts and nothing else.
_COMPOUND = frozenset(
    {
        "CoalesceExpr",
        "MinMaxExpr",
        "A_ArrayExpr",
        "RowExpr",
        "XmlExpr",
        "XmlSerialize",
        "CollateClause",
        "NamedArgExpr",
        "GroupingFunc",
        "BoolExpr",
        "BooleanTest",
        "CaseExpr",
        "CaseWhen",
        "List",
        "JsonObjectConstructor",
        "JsonArrayConstructor",
        "JsonArrayQueryConstructor",
        "JsonObjectAgg",
        "JsonArrayAgg",
        "JsonAggConstructor",
        "JsonKeyValue",
        "JsonValueExpr",
        "JsonParseExpr",
        "JsonScalarExpr",
        "JsonSerializeExpr",
        "JsonFuncExpr",
        "JsonArgument",
        "JsonBehavior",
        "JsonOutput",
        "JsonReturning",
        "JsonFormat",
        "JsonIsPredicate",
        "SortBy",
        "WindowDef",
        "ResTarget",
        "MultiAssignRef",
        "A_Indices",
        "TypeName",
        "String",
        "Integer",
        "Float",
        "Boolean",
        "BitString",
    }
)


class Expressions:
    """Reads expressions; what they reach is gathered here."""

    def __init__(self, scope: Scope, builtins: Builtins) -> None:
        self.scope = scope
        self.catalog = scope.catalog
        self.builtins = builtins
        self.used: set[ColumnId] = set()
        self.opaque: set[str] = set()
        self.inspects: set[str] = set()
        self.writes: list[Write] = []
        # In a view: the functions that its tree calls; bare names mean those.
        self.called: frozenset[str] | None = None
        self.depends: set[Dependency] = set()
        self.is_bound = False

    def query(self, node: Node, parent: Level | None) -> Table:
        raise NotImplementedError

    def depend(self, kind: Kind, name: str) -> None:
        """Note that the statement's meaning rests on all objects of that name."""
        self.is_bound = True
        pin = self.catalog.pin(kind, name)
        self.depends.add(Dependency(kind, name, pin))
        if pin and self.scope.path is not None:  # which of them is meant, the path decides
            path = path_pin(self.scope.path)
            self.depends.add(Dependency(Kind.PATH, "", path))

    def use(self, taint: Taint) -> Taint:
        """Note that something else than a plain output looks at a value."""
        self.used |= taint.columns
        return taint

    def test(self, node: Any, level: Level) -> None:
        """Read what only decides about rows or their order."""
        if node:
            level.tests |= self.use(self.parts(node, level)).columns

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
            elif isinstance(child, dict) and "targetList" in child:
                found.append(self.query(child, level).whole())
            else:
                found.append(self.parts(child, level))
        return computed(found)

    def expression(self, node: Node, level: Level) -> Taint:
        """Return what one expression's value carries."""
        for tag, body in node.items():
            if tag in _CONSTANTS:
                return CONSTANT
            method = getattr(self, f"_{tag}", None)
            if method is not None:
                found: Taint = method(body, level)
                return found
            if tag in _COMPOUND:
                return self.use(self.parts(body, level))
            level.inspected(self.inspects)
            return self.use(computed([self.parts(body, level), level.everything()]))
        return CONSTANT

    def _ParamRef(self, node: Node, level: Level) -> Taint:
        return CONSTANT

    def _ColumnRef(self, node: Node, level: Level) -> Taint:
        fields = node.get("fields", [])
        names = strings(fields)
        if len(names) != len(fields):  # a star where one value stands: count(t.*), ROW(t.*)
            if not names:
                level.inspected(self.inspects)
                return computed([level.everything()])
            sources = level.source(names[-1])
            self.inspects |= {source.name for source in sources if source.watched}
            return computed([s.whole() for s in sources] or [level.everything()])
        if len(names) == 1:
            return level.bare_name(names[0], self.inspects)
        return level.qualified(names[-2], names[-1], self.inspects)

    def _A_Indirection(self, node: Node, level: Level) -> Taint:
        value = self.expression(node["arg"], level)
        steps = node.get("indirection", [])
        names = strings(steps)
        if len(steps) == 1 and len(names) == 1 and value.fields is not None:
            for name, taint in value.fields:
                if name == names[0]:
                    return replace(taint, origin=None)
        return self.use(computed([value, self.parts(steps, level)]))

    def _A_Star(self, node: Node, level: Level) -> Taint:
        return CONSTANT

    def _TypeCast(self, node: Node, level: Level) -> Taint:
        parts = [self.expression(node["arg"], level), self.type_(node.get("typeName", {}))]
        return replace(self.use(computed(parts)), origin=None)

    def type_(self, node: Node) -> Taint:
        """Return what a cast to a type adds: the code of users behind it."""
        names = strings(node.get("names"))
        if not names:
            return CONSTANT
        name = names[-1]
        self.depend(Kind.TYPE, name)
        self.depend(Kind.CASTS, "")
        opaque = {str(found) for found in self.catalog.behind_type(name)}
        if name in self.catalog.active_types:
            opaque.add(f"type {name}")
        self.opaque |= opaque
        return Taint(opaque=frozenset(opaque))

    def _A_Expr(self, node: Node, level: Level) -> Taint:
        sides = [side for side in (node.get("lexpr"), node.get("rexpr")) if side]
        parts = [self.parts(side, level) for side in sides]
        names = strings(node.get("name"))
        kind = node.get("kind", "")
        name = name_of(names)
        self.depend(Kind.OPERATOR, name.name)
        users = [
            operator
            for operator in self.catalog.operators(name.name)
            if name.schema in (None, operator.name.schema)
            and (self.scope.path is None or name.schema or operator.name.schema in self.scope.path)
        ]
        opaque = frozenset(str(operator.function) for operator in users)
        self.opaque |= opaque
        parts.append(Taint(opaque=opaque))
        self.use(computed(parts))
        boolean = len(sides) == 2 and not users and name.name in BOOLEAN_OPERATORS
        boolean = boolean or (not users and kind in _BOOLEAN_KINDS)
        return tested(parts) if boolean and kind != "AEXPR_NULLIF" else computed(parts)

    def _NullTest(self, node: Node, level: Level) -> Taint:
        return tested([self.use(self.parts(node, level))])

    def _SubLink(self, node: Node, level: Level) -> Taint:
        table = self.query(node["subselect"], level)
        inner = computed([table.whole(), Taint(tested=table.tests)])
        kind = node.get("subLinkType", "")
        if kind == "EXISTS_SUBLINK":
            return tested([inner])
        self.use(table.whole())
        if kind in ("ANY_SUBLINK", "ALL_SUBLINK"):
            outer = self.use(self.parts(node.get("testexpr"), level))
            operator = name_of(strings(node.get("operName"))).name or "="
            both = [inner, outer]
            if operator in BOOLEAN_OPERATORS and not self.catalog.operators(operator):
                return tested(both)
            return computed([*both, Taint(opaque=frozenset({f"operator {operator}"}))])
        if not inner.opaque <= self.opaque:
            self.opaque |= inner.opaque
        value = table.whole()
        if any(not taint.sources for _, taint in table.columns) or value.made:
            return inner
        return value

    def _FuncCall(self, node: Node, level: Level) -> Taint:
        name = name_of(strings(node.get("funcname")))
        arguments = node.get("args") or []
        values = [self.expression(argument, level) for argument in arguments]
        window = node.get("over") or {}
        self.use(computed(values))
        decided = [
            self.use(self.parts(node.get(part), level)) for part in ("agg_order", "agg_filter")
        ]
        frame = {key: child for key, child in window.items() if key != "partitionClause"}
        decided.append(self.use(self.parts(window.get("partitionClause"), level)))
        values.append(self.use(self.parts(frame, level)))
        decided_by = frozenset[ColumnId]().union(*(part.columns for part in decided))
        opaque = self._called(name.schema, name.name, computed([*values, *decided]))
        if len(arguments) == 1 and values[0].fields is not None and not node.get("over"):
            field = dict(values[0].fields).get(name.name)
            own = opaque <= {name.name}  # no function of that name is known
            if field is not None and own and name.name not in self.builtins.names:
                return replace(field, origin=None)
        self.opaque |= opaque
        parts = [*values, *decided, Taint(opaque=opaque)]
        if not opaque and (name.name == "count" or name.name in BOOLEAN_FUNCTIONS):
            return tested(parts)
        ordered = any(value.tested for value in decided) or bool(decided_by)
        whole = computed([*values, Taint(opaque=opaque)])
        if not ordered:
            return whole
        return replace(whole, tested=whole.tested | decided_by)

    def _called(self, schema: str | None, name: str, values: Taint) -> frozenset[str]:
        """Return the code of users that a call runs; note what it inspects or sends."""
        self.depend(Kind.FUNCTION, name)
        if self.called is not None:
            found = {called for called in self.called if called.rpartition(".")[2] == name}
            users = {called for called in found if not called.startswith("pg_catalog.")}
            if schema is not None:
                users = {called for called in users if called.startswith(f"{schema}.")}
        else:
            from_scope = self.scope.functions(Name(schema, name))
            users = {
                str(function.name)
                for function in from_scope
                if function.name.schema != "information_schema"
            }
        if users:
            return frozenset(users)
        if schema not in (None, "pg_catalog"):
            return (
                frozenset() if schema == "information_schema" else frozenset({f"{schema}.{name}"})
            )
        if name in SENDING and values.columns:
            self.writes.append(Write(f"{name}()", values))
        if name in ("set_config", "setval", "setseed", "pg_notify", *HARMLESS):
            return frozenset()
        if name in REVEALING or (
            name in self.builtins.names and not self.builtins.is_harmless(name)
        ):
            self.inspects.add(f"{name}()")
            return frozenset({f"pg_catalog.{name}"})
        if name not in self.builtins.names:
            return frozenset({name})
        return frozenset()


_BOOLEAN_KINDS = frozenset(
    {
        "AEXPR_DISTINCT",
        "AEXPR_NOT_DISTINCT",
        "AEXPR_IN",
        "AEXPR_LIKE",
        "AEXPR_ILIKE",
        "AEXPR_SIMILAR",
        "AEXPR_BETWEEN",
        "AEXPR_NOT_BETWEEN",
        "AEXPR_BETWEEN_SYM",
        "AEXPR_NOT_BETWEEN_SYM",
    }
)
