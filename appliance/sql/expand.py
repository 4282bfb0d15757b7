"""From a relation or function to everything that is reached through it.

A rule on a table holds for every way to it: through views, rewrite rules, partitions and
inheritance (up and down), indexes, TOAST tables, functions whose bodies are SQL.
"""

from __future__ import annotations

from collections.abc import Callable

from appliance.sql.builtins import Builtins
from appliance.sql.calls import function_flag
from appliance.sql.catalog import Function, Reach, Relation
from appliance.sql.effects import Effects
from appliance.sql.facts import EffectClass, Name
from appliance.sql.lookup import Scope
from appliance.sql.parsed import Parsed

# Classes that do to what a view shows what they do to the view.
_THROUGH_VIEWS = frozenset(
    {
        EffectClass.SELECT,
        EffectClass.INSERT,
        EffectClass.UPDATE,
        EffectClass.DELETE,
        EffectClass.MERGE,
        EffectClass.COPY_IN,
        EffectClass.COPY_OUT,
        EffectClass.COPY_PROGRAM,
        EffectClass.LOCK,
        EffectClass.DCL,
    }
)
_ON_ROWS = (
    EffectClass.SELECT,
    EffectClass.INSERT,
    EffectClass.UPDATE,
    EffectClass.DELETE,
    EffectClass.MERGE,
    EffectClass.TRUNCATE,
    EffectClass.COPY_IN,
    EffectClass.COPY_OUT,
)
# Statistics hold values of the tables: those columns do.
# What is read of a materialized view was read of its tables before.
_COPIED = frozenset({EffectClass.SELECT, EffectClass.COPY_OUT, EffectClass.COPY_PROGRAM})
_STATISTICS = frozenset({"pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic"}) | {
    "pg_statistic_ext_data"
}
_STATISTICS_COLUMNS = frozenset(
    {"most_common_vals", "histogram_bounds", "most_common_elems", "range_bounds_histogram"}
    | {"most_common_val_nulls", "stxdmcv", "stxdexpr", "stxddependencies"}
    | {f"stavalues{number}" for number in range(1, 6)}
)
_EVENTS = {
    EffectClass.INSERT: "insert",
    EffectClass.COPY_IN: "insert",
    EffectClass.UPDATE: "update",
    EffectClass.DELETE: "delete",
}
# pg_constraint.confdeltype: what a DELETE does to the rows that refer to the deleted ones.
_ON_DELETE = {"c": EffectClass.DELETE, "n": EffectClass.UPDATE, "d": EffectClass.UPDATE}
_OPAQUE_LANGUAGES = frozenset({"c", "internal"})
# Of functions in C only the name is known; those in other languages could run any SQL.
_READABLE = _OPAQUE_LANGUAGES | {"sql", "plpgsql"}

Key = tuple[EffectClass, int, bool, "tuple[str, ...] | None"]
Path = tuple[str, ...] | None
Definition = Callable[[Parsed, "tuple[str, ...] | None", str], None]


class Expansion:
    """Follows one statement's relations and functions through a catalog."""

    def __init__(
        self,
        scope: Scope,
        builtins: Builtins,
        effects: Effects,
        definition: Definition,
        outer: Expansion | None = None,
    ) -> None:
        self._scope = scope
        self._catalog = scope.catalog
        self._builtins = builtins
        self._effects = effects
        self._definition = definition
        # What is within a definition shares these: each thing is followed once for a statement.
        self._seen: set[Key] = outer._seen if outer else set()
        self._bodies: set[tuple[int, Path]] = outer._bodies if outer else set()
        self.flags: dict[tuple[str, str], None] = {}
        self.changes_state = False
        self.unknown = ""

    def relation(
        self,
        cls: EffectClass,
        relation: Relation,
        *,
        columns: tuple[str, ...] | None = None,
        without_where: bool = False,
        via: str = "",
        only: bool = False,
        reads: bool = False,
        cascades: bool = False,
        exempt: bool = False,
    ) -> None:
        """Add the effect on a relation and on everything that is reached through it."""
        columns = relation.own(columns)
        self._effects.add(
            cls,
            relation.name,
            columns=columns,
            without_where=without_where,
            via=via,
            exempt=exempt or bool(relation.owner),
        )
        if relation.is_system and relation.name.name in _STATISTICS:
            self._statistics(relation, columns, via)
        key = (cls, relation.oid, without_where, columns)
        if key in self._seen:
            return
        self._seen.add(key)
        if self._catalog.is_active(relation.oid):
            self.changes_state = True
        through = str(relation.name)
        self._rules(cls, relation, without_where, through)
        if reads:  # REFRESH runs what the view was built from
            self._definition_of(EffectClass.SELECT, relation, False, through, exempt=False)
        if not only and (cls is not EffectClass.INSERT or relation.kind == "p"):
            for oid in self._catalog.children(relation.oid):
                self._step(cls, oid, columns, without_where, through, exempt=True)
        self._ancestors(cls, relation.oid, columns, without_where, through, set())
        if relation.owner:
            self._step(cls, relation.owner, None, without_where, through, exempt=False)
        if cascades:
            self._cascade(relation)
        if cls is EffectClass.DELETE:
            self._delete_cascade(relation, without_where)

    def moved(
        self, relation: Relation, columns: tuple[str, ...] | None, becomes: Name | None
    ) -> None:
        """Add that a relation gets another name, schema or parent.

        A rule names what it protects. What is called differently afterwards it would not know any
        more, so this counts, for rules that name the relation, as all that could be done to it.
        """
        name = relation.name
        if becomes is not None:
            made = Name(becomes.schema or name.schema, becomes.name or name.name)
            self._effects.add(EffectClass.DDL, made)
        for cls in _ON_ROWS:
            self._effects.add(cls, name, columns=columns, without_where=True, exempt=True)
            self._ancestors(cls, relation.oid, columns, True, str(name), set())

    def reached(
        self, cls: EffectClass, reach: Reach, via: str, *, without_where: bool = False
    ) -> None:
        """Add what a rule or a body does: each relation in it may be what any of it is done to."""
        classes = {EffectClass.SELECT} | {
            EffectClass.UNKNOWN if command == "unknown" else EffectClass(command)
            for command in reach.commands
        }
        for oid in reach.relations:
            relation = self._catalog.by_oid(oid)
            if relation is None or str(relation.name) == via:
                continue
            for each in sorted(classes):
                self.relation(each, relation, without_where=without_where, via=via)
        for name in reach.functions:
            self.named_function(cls, name, via)

    def named_function(
        self, cls: EffectClass, name: Name, via: str = "", *, exempt: bool = False
    ) -> None:
        """Add a function that is known by schema and name."""
        users = [f for f in self._catalog.functions(name.name) if f.name.schema == name.schema]
        if users:
            for function in users:
                self.function(cls, function, via)
        else:
            self.builtin(cls, name.name, via, exempt=exempt)

    def builtin(self, cls: EffectClass, name: str, via: str = "", *, exempt: bool = False) -> None:
        """Add one of PostgreSQL's own functions."""
        self._effects.add(
            cls,
            None,
            Name("pg_catalog", name),
            via=via,
            exempt=exempt or self._builtins.is_harmless(name),
        )
        if self._builtins.changes_state(name):
            self.changes_state = True
        self._flag(name)

    def function(
        self, cls: EffectClass, function: Function, via: str = "", *, by_name: bool = False
    ) -> None:
        """Add a function that is not built in, and what its body does.

        ``by_name``: it is dropped, renamed, granted …, so that nothing is run or will be by that.
        """
        name = function.name
        is_system = name.schema == "information_schema"
        renamed = by_name and cls in (EffectClass.SELECT, EffectClass.CALL)
        self._effects.add(cls, None, name, via=via, exempt=is_system or renamed)
        self._flag(name.name)
        # Who may make a function in C may do anything; it is no way to change a session unseen.
        # What a body does is known, but another worker's client may have replaced it since.
        if not (function.language in _OPAQUE_LANGUAGES and function.volatility != "v"):
            self.changes_state = self.changes_state or not is_system
        key = (function.oid, function.search_path or self._scope.path)
        if is_system or by_name or key in self._bodies:
            return
        self._bodies.add(key)
        through = f"{name}()"
        if function.reach is not None:
            self.reached(EffectClass.SELECT, function.reach, through, without_where=True)
            return
        parsed = self._catalog.body(function)
        if parsed is not None:
            self._definition(parsed, function.search_path, through)
            return
        if function.language not in _READABLE:
            self.unknown = self.unknown or f"function {name}() is written in {function.language}"

    def operator(self, cls: EffectClass, name: Name, path: tuple[str, ...] | None) -> None:
        """Add the function behind an operator that a user's own may be meant by."""
        for operator in self._catalog.operators(name.name):
            schema = operator.name.schema
            if name.schema is not None and schema != name.schema:
                continue
            if name.schema is None and path is not None and schema not in path:
                continue
            if operator.language in _OPAQUE_LANGUAGES and (
                operator.function.schema != "pg_catalog"
                or self._builtins.is_harmless(operator.function.name)
            ):
                continue
            self.named_function(cls, operator.function)

    def _flag(self, name: str) -> None:
        flag = function_flag(name)
        if flag is not None:
            self.flags[(flag, f"{name}()")] = None

    def _step(
        self,
        cls: EffectClass,
        oid: int,
        columns: tuple[str, ...] | None,
        without_where: bool,
        via: str,
        *,
        exempt: bool,
    ) -> None:
        relation = self._catalog.by_oid(oid)
        if relation is not None:
            self.relation(
                cls,
                relation,
                columns=columns,
                without_where=without_where,
                via=via,
                exempt=exempt,
            )

    def _ancestors(
        self,
        cls: EffectClass,
        oid: int,
        columns: tuple[str, ...] | None,
        without_where: bool,
        via: str,
        seen: set[int],
    ) -> None:
        """Add the parents: a rule on a parent covers its partitions. Not their other children."""
        for parent in self._catalog.parents(oid):
            relation = self._catalog.by_oid(parent)
            if relation is None or parent in seen:
                continue
            seen.add(parent)
            self._effects.add(
                cls,
                relation.name,
                columns=relation.own(columns),
                without_where=without_where,
                via=via,
                exempt=True,
            )
            self._ancestors(cls, parent, columns, without_where, via, seen)

    def _rules(
        self, cls: EffectClass, relation: Relation, without_where: bool, through: str
    ) -> None:
        shows = relation.kind == "v" or (relation.kind == "m" and cls in _COPIED)
        if shows and cls in _THROUGH_VIEWS:
            self._definition_of(cls, relation, without_where, through, exempt=relation.is_system)
        event = _EVENTS.get(cls)
        for rule in self._catalog.rules(relation.oid) if event else ():
            if rule.event == event:
                self.changes_state = True
                self.reached(cls, rule.reach, through, without_where=without_where)

    def _definition_of(
        self, cls: EffectClass, relation: Relation, without_where: bool, via: str, *, exempt: bool
    ) -> None:
        for rule in self._catalog.rules(relation.oid):
            if rule.event != "select":
                continue
            for oid in rule.reach.relations:
                base = self._catalog.by_oid(oid)
                if base is not None and base.oid != relation.oid:
                    self.relation(cls, base, without_where=without_where, via=via, exempt=exempt)
            for name in rule.reach.functions:
                self.named_function(EffectClass.SELECT, name, via, exempt=exempt)

    def _statistics(self, relation: Relation, columns: tuple[str, ...] | None, via: str) -> None:
        """Statistics show values of any table; how many rows and how wide is no secret."""
        through_system = via.startswith(("pg_catalog.", "information_schema."))
        if not through_system and (columns is None or _STATISTICS_COLUMNS.intersection(columns)):
            self.unknown = self.unknown or f"{relation.name.name} shows values of any table"

    def _delete_cascade(self, relation: Relation, without_where: bool) -> None:
        """DELETE carries on where a foreign key says CASCADE, and changes where it says SET."""
        for oid, how in self._catalog.cascades(relation.oid):
            cls = _ON_DELETE.get(how)
            if cls is not None:
                self._step(cls, oid, None, without_where, str(relation.name), exempt=True)

    def _cascade(self, relation: Relation) -> None:
        """TRUNCATE … CASCADE empties every table that refers to this one, and so on."""
        for oid in self._catalog.referencing(relation.oid):
            other = self._catalog.by_oid(oid)
            if other is not None:
                self.relation(EffectClass.TRUNCATE, other, via=str(relation.name), cascades=True)
