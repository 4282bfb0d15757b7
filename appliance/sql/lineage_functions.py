"""What calls of functions give: built-in ones, those whose SQL can be read, and all others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace

from appliance.sql.catalog_rows import Function
from appliance.sql.dependencies import Kind
from appliance.sql.facts import Name
from appliance.sql.lineage_calls import (
    BOOLEAN_FUNCTIONS,
    FOREIGN,
    SENDING,
    gives_only_what_it_is_given,
    is_plain_setting,
    shapes,
)
from appliance.sql.lineage_expressions import SURE_LANGUAGES, Expressions
from appliance.sql.lineage_names import Level, Table
from appliance.sql.taint import ColumnId, Taint, Write, computed, tested
from appliance.sql.walker import Node, name_of, strings

_COUNTING = frozenset({"generate_series", "generate_subscripts"})
_VARYING = frozenset({"nextval", "random", "currval", "lastval"})
_ROW_AS_JSON = frozenset({"to_json", "to_jsonb", "row_to_json"})


@dataclass(frozen=True, slots=True)
class Reads:
    """What a body that could be read has in reach besides its arguments.

    ``stored``: what of that it may write somewhere; ``writes``: whether it writes at all.
    """

    value: Taint
    stored: Taint
    writes: bool


class Calls(Expressions):
    """Reads calls of functions."""

    @abstractmethod
    def body(self, function: Function, arguments: list[Taint]) -> Table | None:
        """Return what a function in language sql gives; None = its body cannot be read."""

    @abstractmethod
    def reads(self, function: Function) -> Reads | None:
        """Return what a function's body reads and stores; None = nobody knows."""

    def unread(self, names: Iterable[str]) -> frozenset[str]:
        """Return those of the functions that read something, or of which that is not known."""
        found = set()
        for name in names:
            schema, _, bare = name.rpartition(".")
            users = [f for f in self.catalog.functions(bare) if f.name.schema == schema]
            read = [self.reads(function) for function in users]
            quiet = [part for part in read if part and not part.value.columns and not part.writes]
            if not users or len(quiet) != len(users):
                found.add(name)
        return frozenset(found)

    def call(self, node: Node, level: Level) -> Taint:
        """Return what a call gives as one value."""
        table = self.called_table(node, level)
        if isinstance(table, Taint):
            return table
        return computed([*(value for _, value in table.columns), Taint(tested=table.tests)])

    def called_table(self, node: Node, level: Level) -> Taint | Table:
        """Return what a call gives: a value, or the rows of a body that could be read."""
        name = name_of(strings(node.get("funcname")))
        arguments = node.get("args") or []
        values = [self.expression(argument, level) for argument in arguments]
        self.use(computed(values))
        users = self._users(name)
        if users is None:
            row = self._field(node, name, values)
            if row is not None:
                return row
        if self._gives_rows(name.name, users, arguments, values, level):
            self.size(computed(values))
        decided = [self.deciding(node.get(part), level) for part in ("agg_order", "agg_filter")]
        if node.get("agg_within_group"):  # what is put in order is what is computed with
            values.append(decided[0])
        values.append(self._window(node.get("over") or {}, level, decided))
        if users:
            return self._user_call(users, node, values, decided)
        if users is None:
            self.writes.append(Write(f"{name}()", computed([*values, *decided])))
            return self._opaque({str(name)}, [*values, *decided])
        if name.schema == "information_schema":
            return computed([*values, *decided])
        return self._built_in(name.name, node, values, decided, level)

    def _users(self, name: Name) -> list[Function] | None:
        """Return the functions of users that a name may mean; None: no function at all."""
        self.depend(Kind.FUNCTION, name.name)
        if self.called is not None:
            found = [called for called in self.called if called.rpartition(".")[2] == name.name]
            found = [called for called in found if not called.startswith("pg_catalog.")]
            if name.schema is not None:
                found = [called for called in found if called.startswith(f"{name.schema}.")]
            users = [f for f in self.catalog.functions(name.name) if str(f.name) in found]
        else:
            users = self.scope.functions(name)
        users = [f for f in users if f.name.schema != "information_schema"]
        if name.schema in (None, "pg_catalog") and name.name in self.builtins.names:
            # An extension's function for its own types beside the built-in one.
            return [] if all(map(self.is_sure, users)) else users
        return users or ([] if name.schema == "information_schema" else None)

    def is_sure(self, function: Function, depth: int = 0) -> bool:
        """Return whether only a superuser can have made a function and all that it calls."""
        if function.language not in SURE_LANGUAGES or depth > 1:
            return False
        called = function.reach.functions if function.reach is not None else ()
        return all(
            self.is_sure(part, depth + 1)
            for name in called
            for part in self.catalog.functions(name.name)
            if part.name == name
        )

    def _field(self, node: Node, name: Name, values: list[Taint]) -> Taint | None:
        """Return the field that ``name(row)`` means where no function has that name."""
        if len(values) != 1 or values[0].fields is None or node.get("over") or name.schema:
            return None
        found = [value for key, value in values[0].fields if key == name.name]
        return replace(found[0], origin=None) if len(found) == 1 else None

    def _gives_rows(
        self,
        name: str,
        users: list[Function] | None,
        arguments: list[Node],
        values: list[Taint],
        level: Level,
    ) -> bool:
        """Return whether a call makes as many rows as its arguments say."""
        if users or name not in shapes().sets:
            return False
        return name in _COUNTING or not self.is_fixed(arguments, values, level)

    def _is_stored(self, node: Node, level: Level) -> bool:
        """Return whether a value is a column's, or a part of it at a place that the text names."""
        while "ColumnRef" not in node:
            if "TypeCast" in node:
                node = node["TypeCast"]["arg"]
            elif "A_Indirection" in node:
                steps = node["A_Indirection"].get("indirection", [])
                if not all(_is_constant(step) for step in steps):
                    return False
                node = node["A_Indirection"]["arg"]
            else:
                return False
        value = self.expression(node, level)
        return value.plain is not None or value.fields is not None

    def is_fixed(self, arguments: list[Node], values: list[Taint], level: Level) -> bool:
        """Return whether it is clear how many rows there will be: as a stored value has parts, as
        ARRAY[…] has elements, as a row has columns.
        """
        for argument, value in zip(arguments, values, strict=False):
            if self._is_stored(argument, level):
                continue
            call = argument.get("FuncCall", {})
            names, given = strings(call.get("funcname")), call.get("args") or [{}]
            if names[-1:] and names[-1] in _ROW_AS_JSON and self._is_stored(given[0], level):
                continue
            elements = argument.get("A_ArrayExpr", {}).get("elements", [{}])
            if "A_ArrayExpr" in argument and not any("A_ArrayExpr" in e for e in elements):
                continue
            if value.columns:
                return False
        return True

    def _window(self, window: Node, level: Level, decided: list[Taint]) -> Taint:
        decided.append(self.deciding(window.get("partitionClause"), level))
        for part in ("startOffset", "endOffset"):
            self.size(self.parts(window.get(part), level))
        return self.deciding(window.get("orderClause"), level)

    def _built_in(
        self, name: str, node: Node, values: list[Taint], decided: list[Taint], level: Level
    ) -> Taint:
        whole = computed([*values, *decided])
        if name in SENDING and (whole.columns or whole.opaque):
            self.writes.append(Write(f"{name}()", whole))
        if not self._is_known(name, node):
            self.inspects.add(f"{name}()")
            return self._opaque({f"pg_catalog.{name}"}, values)
        code: frozenset[str] = frozenset()
        if name == "current_setting":
            code = self._setting(node, values)
        if name == "count":
            self.links |= whole.links  # what is NULL is not counted
            parts = [*values, *decided, Taint(opaque=frozenset(level.code))]
            return replace(tested(parts), made=level.is_made)
        if name in BOOLEAN_FUNCTIONS:
            return tested([self.link(whole, is_equality=False) if len(values) > 2 else whole])
        given = computed([*values, Taint(opaque=code)]) if code else computed(values)
        if not given.columns and ("over" in node or name in shapes().sets or name in _VARYING):
            given = replace(given, made=True)  # another one in each row
        decided_by = frozenset[ColumnId]().union(*(part.columns for part in decided))
        more = frozenset[str]().union(*(part.opaque for part in decided))
        if decided_by or more:
            given = replace(
                given, tested=given.tested | decided_by, opaque=given.opaque | more, origin=(0, 0)
            )
        return given.via(f"{name}()")

    def _is_known(self, name: str, node: Node) -> bool:
        arguments = node.get("args") or []
        if name == "ts_rewrite":  # with two arguments the second is a query's text
            named = any("NamedArgExpr" in argument for argument in arguments)
            return len(arguments) == 3 and not named and "func_variadic" not in node
        return gives_only_what_it_is_given(name, self.builtins)

    def _setting(self, node: Node, values: list[Taint]) -> frozenset[str]:
        """Return what may have decided a setting: any code may store values in one of its own."""
        listed = self.catalog.relation("pg_catalog", "pg_settings")  # it has none of those
        if listed is not None and {oid for oid, _ in values[0].columns} == {listed.oid}:
            return frozenset()
        argument = (node.get("args") or [{}])[0]
        if "TypeCast" in argument:
            argument = argument["TypeCast"]["arg"]
        name = argument.get("A_Const", {}).get("sval", {}).get("sval", "")
        if is_plain_setting(name):
            return frozenset()
        return frozenset({"pg_catalog.current_setting"})

    def _opaque(self, code: set[str], values: list[Taint]) -> Taint:
        """Return what code gives that nobody has read."""
        self.opaque |= code
        if any(name.rpartition(".")[2].startswith(FOREIGN) for name in code):
            self.inspects |= {f"{name}()" for name in sorted(code)}
        whole = computed([*values, Taint(opaque=frozenset(code))])
        self.folded.append(whole)
        return whole

    def _user_call(
        self, users: list[Function], node: Node, values: list[Taint], decided: list[Taint]
    ) -> Taint | Table:
        aggregated = any(key in node for key in ("agg_order", "agg_filter", "over"))
        if len(users) == 1 and not aggregated and "agg_star" not in node:
            arguments = node.get("args") or []
            named = any("NamedArgExpr" in argument for argument in arguments)
            table = None if named else self.body(users[0], values[: len(arguments)])
            if table is not None:
                self.folded.append(computed([table.whole(), Taint(tested=table.tests)]))
                self.code_read.add(str(users[0].name))
                return table
        name = str(users[0].name)
        given = computed([*values, *decided])
        found = [self.reads(function) for function in users]
        known = [part for part in found if part is not None]
        if len(known) == len(found):
            value = computed([given, *(part.value for part in known)]).via(f"{name}()")
            if any(part.writes for part in known):
                stored = computed([given, *(part.stored for part in known)])
                self.writes.append(Write(f"{name}()", stored))
            self.folded.append(value)
            self.code_read |= {str(function.name) for function in users}
            return replace(value, made=True)
        if any(function.language not in SURE_LANGUAGES for function in users):
            self.writes.append(Write(f"{name}()", given))  # it might keep them
        return self._opaque({str(function.name) for function in users}, [given])


def _is_constant(step: Node) -> bool:
    """Return whether a subscript is one that the text gives, or a field's name."""
    indices = step.get("A_Indices", {})
    return all("A_Const" in indices[part] for part in ("lidx", "uidx") if part in indices)
