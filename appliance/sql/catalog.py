"""What a target's database contains, as one worker or page knows it at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import orjson

from appliance.sql.analysis import Analysis, is_slow, unknown
from appliance.sql.catalog_masking import MaskingParts
from appliance.sql.catalog_rows import (
    SYSTEM_COLUMNS,
    Column,
    Function,
    Operator,
    Reach,
    Relation,
    Rule,
    Trigger,
    function_of,
    grouped,
    relation_of,
    rule_of,
    trigger_of,
)
from appliance.sql.catalog_sql import CATALOG_SQL, MAX_BODY, STATE_SQL
from appliance.sql.dependencies import Kind
from appliance.sql.facts import Facts, Name
from appliance.sql.lexing import unreadable
from appliance.sql.native import PgQuery
from appliance.sql.parsed import Parsed

__all__ = [
    "CATALOG_SQL",
    "STATE_SQL",
    "SYSTEM_COLUMNS",
    "Catalog",
    "Column",
    "Function",
    "Operator",
    "Reach",
    "Relation",
    "Rule",
    "SessionState",
    "Trigger",
]

TEMP_SCHEMA = "pg_temp"
MAX_DEFINITION = MAX_BODY  # characters of a body or view that is analysed


class Catalog:
    """A database's catalog with look-ups by name and OID. Never changes once built."""

    def __init__(self, data: bytes) -> None:
        value: dict[str, Any] = orjson.loads(data)
        self._data = data
        self._analysis = Analysis(PgQuery(holds_lock=True))
        self._texts: dict[str, Parsed] = {}
        self._bodies: dict[int, Parsed] = {}
        self.version = int(value.get("version", 0))
        self.encoding = str(value.get("encoding", "UTF8"))
        self.database = str(value.get("database", ""))
        self.role = str(value.get("role", ""))
        self.schemas = frozenset(value.get("schemas") or ())
        relations = [relation_of(row) for row in value.get("relations") or ()]
        self._by_oid = {relation.oid: relation for relation in relations}
        self._by_name = {
            (relation.name.schema, relation.name.name): relation for relation in relations
        }
        self._bare = grouped((relation.name.name, relation) for relation in relations)
        self._children = grouped((parent, child) for child, parent in value.get("inherits") or ())
        self._parents = grouped((child, parent) for child, parent in value.get("inherits") or ())
        references = value.get("references") or ()
        self._references = grouped((target, source) for source, target, *_ in references)
        self._cascades = grouped(
            (target, (source, how)) for source, target, how in (r for r in references if r[2:])
        )
        self._marks = grouped((oid, mark) for oid, mark in value.get("marks") or ())
        self._pins: dict[str, Any] = value.get("pins") or {}
        self._masking = MaskingParts(value.get("masking") or {})
        self._rules = grouped((row[0], rule_of(row)) for row in value.get("rules") or ())
        bodies = {oid: (text, names) for oid, text, names in value.get("bodies") or ()}
        functions = [function_of(row, bodies) for row in value.get("functions") or ()]
        functions.sort(key=lambda function: function.oid)
        self._functions = grouped((function.name.name, function) for function in functions)
        operators = [
            Operator(Name(schema, name), Name(function_schema, function), language)
            for schema, name, function_schema, function, language in value.get("operators") or ()
        ]
        self._operators = grouped((operator.name.name, operator) for operator in operators)
        self._views = {oid: text for oid, text in value.get("views") or ()}
        self._generated = grouped(
            ((oid, number), source) for oid, number, source in value.get("generated") or ()
        )
        self.type_rows = tuple(tuple(row) for row in value.get("type_rows") or ())
        types = value.get("types") or ()
        self.types = frozenset(name for _, name, _ in types)
        self.active_types = frozenset(name for _, name, is_active in types if is_active)
        self._behind_types = grouped(
            (name, Name(schema, function)) for name, schema, function in value.get("casts") or ()
        )
        self._active = frozenset(value.get("active") or ())
        self.triggers = tuple(trigger_of(row) for row in value.get("triggers") or ())
        self.defaults = tuple(
            (oid, number, Name(schema, function))
            for oid, number, schema, function in value.get("defaults") or ()
        )
        self.roles = tuple(name for name, *_ in value.get("roles") or ())
        self.memberships = frozenset(
            name for name, _, _, is_member in value.get("roles") or () if is_member
        )
        self.superusers = frozenset(
            name for name, is_super, _, _ in value.get("roles") or () if is_super
        )

    @classmethod
    def from_json(cls, data: bytes) -> Catalog:
        """Read what CATALOG_SQL answered.

        Raises:
            ValueError: it is no catalog.
        """
        try:
            return cls(bytes(data))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError("the catalog cannot be read: fetch it again") from error

    def to_json(self) -> bytes:
        """Return what ``from_json`` reads."""
        return self._data

    def relation(self, schema: str, name: str) -> Relation | None:
        """Return the relation of exactly that name."""
        return self._by_name.get((schema, name))

    def by_oid(self, oid: int) -> Relation | None:
        """Return the relation with that OID."""
        return self._by_oid.get(oid)

    def named(self, name: str) -> tuple[Relation, ...]:
        """Return the relations of that name in any schema."""
        return self._bare.get(name, ())

    def in_schema(self, schema: str) -> list[Relation]:
        """Return the relations of a schema that hold or show rows."""
        return [
            relation
            for relation in self._by_oid.values()
            if relation.name.schema == schema and relation.kind in "rpvmfS"
        ]

    def relations(self) -> Iterable[Relation]:
        """Return every relation."""
        return self._by_oid.values()

    def children(self, oid: int) -> tuple[int, ...]:
        """Return the partitions and inheritance children, one step down."""
        return self._children.get(oid, ())

    def parents(self, oid: int) -> tuple[int, ...]:
        """Return what a relation is a partition or child of, one step up."""
        return self._parents.get(oid, ())

    def referencing(self, oid: int) -> tuple[int, ...]:
        """Return the tables whose foreign keys point to this one."""
        return self._references.get(oid, ())

    def cascades(self, oid: int) -> tuple[tuple[int, str], ...]:
        """Return the tables that a DELETE here changes by foreign keys, and ``confdeltype``."""
        return self._cascades.get(oid, ())

    def view(self, oid: int) -> str | None:
        """Return a view's definition; None where it has none or a very large one."""
        return self._views.get(oid)

    def generated_from(self, oid: int, number: int) -> tuple[int, ...]:
        """Return the columns from which a generated column is computed."""
        return self._generated.get((oid, number), ())

    def generated_columns(self) -> Iterable[tuple[tuple[int, int], tuple[int, ...]]]:
        """Return ((OID, number), numbers of the columns that it is computed from) of each."""
        return self._generated.items()

    def rules(self, oid: int) -> tuple[Rule, ...]:
        """Return the rewrite rules of a relation; a view's definition is one."""
        return self._rules.get(oid, ())

    def functions(self, name: str) -> tuple[Function, ...]:
        """Return the functions of that name that are not built in, in any schema."""
        return self._functions.get(name, ())

    @cached_property
    def sets_settings(self) -> bool:
        """Return whether code of the database may give a setting a value that it has read."""
        return any(
            function.sets_settings for named in self._functions.values() for function in named
        )

    @cached_property
    def opens_cursors(self) -> bool:
        """Return whether code of the database may open a cursor that a client can name."""
        return any(f.opens_cursors for named in self._functions.values() for f in named)

    def operators(self, name: str) -> tuple[Operator, ...]:
        """Return the operators of that name that are not built in, in any schema."""
        return self._operators.get(name, ())

    def definitions(
        self, facts: Facts, temp_views: Mapping[str, str] | None = None
    ) -> tuple[tuple[str, str], ...]:
        """Return (object, mark) for every relation and function that statements touch.

        A mark holds the OID and a hash of each definition: of a view, of the columns, defaults,
        rules, triggers (with what they call) and policies of a table, and of every function of
        that name, body and settings included. It changes when the object
        is replaced, also by one of the same name; who may use it does not matter. Where code runs
        of which nobody knows what it calls, all functions of the database count.
        ``temp_views``: the session's own views, of which the catalog knows nothing.
        """
        found: dict[str, str] = {}
        runs_code = any(statement.unknown for statement in facts.statements)
        for effect in (e for statement in facts.statements for e in statement.effects):
            name = effect.relation or effect.function
            if name is None or effect.object in found:
                continue
            if effect.function is not None:
                oids = [f.oid for f in self.functions(name.name) if f.name.schema == name.schema]
            else:
                relation = self.relation(name.schema or "", name.name)
                oids = [] if relation is None else [relation.oid]
                runs_code = runs_code or any(map(self.is_active, oids))
            marks = [f"{oid}:{','.join(self._marks.get(oid, ()))}" for oid in sorted(oids)]
            if name.schema == TEMP_SCHEMA and name.name in (temp_views or {}):
                marks.append((temp_views or {})[name.name])
            if marks:
                found[effect.object] = " ".join(marks)
        if runs_code:
            found[""] = self._all_code()
        return tuple(sorted(found.items()))

    def _all_code(self) -> str:
        """Return a hash of the definitions of all functions that are not built in."""
        oids = sorted(f.oid for named in self._functions.values() for f in named)
        marks = orjson.dumps([(oid, self._marks.get(oid, ())) for oid in oids])
        return blake2b(marks, digest_size=16).hexdigest()

    def pin(self, kind: Kind, name: str) -> str:
        """Return what the standing question must give for an object; "" for none of that name."""
        found = self._pins.get(kind.value) or {}
        return str((found if kind is Kind.CASTS else found.get(name)) or "")

    def coercions(self, type_name: str) -> tuple[str, ...]:
        """Return the users' functions that casts from or to a type call, implicit ones too."""
        return self._masking.coercions.get(type_name, ())

    def has_policies(self, oid: int) -> bool:
        """Return whether row security may run code when a relation is read."""
        return oid in self._masking.policies

    def system_columns(self, oid: int) -> tuple[tuple[int, str], ...]:
        """Return the columns of a system relation some of which show others' values."""
        return self._masking.system.get(oid, ())

    def function_text(self, oid: int) -> str | None:
        """Return CREATE FUNCTION for a function in language sql; None where it is too large."""
        return self._masking.bodies.get(oid)

    @property
    def has_operators(self) -> bool:
        return bool(self._operators)

    def behind_type(self, name: str) -> tuple[Name, ...]:
        """Return the users' functions that a cast to a type of that name may call."""
        return self._behind_types.get(name, ())

    def is_active(self, oid: int) -> bool:
        """Return whether writing to (or reading) it may run code: triggers, policies, checks."""
        return oid in self._active

    def definition(self, text: str) -> Parsed:
        """Return what a body or a view's definition says; remembered."""
        found = self._texts.get(text)
        if found is None:
            if len(text) > MAX_DEFINITION or unreadable(text) or is_slow(text):
                found = unknown("a definition is too large to be analysed", text)
            else:
                found = self._analysis(text, frozenset())
            self._texts[text] = found
        return found

    def body(self, function: Function) -> Parsed | None:
        """Return what a function's body says; remembered. None: it has none that could be read."""
        source = function.source
        if function.language == "sql":
            return None if source is None else self.definition(source)
        if function.language != "plpgsql":
            return None
        found = self._bodies.get(function.oid)
        if found is None:
            if source is None or len(source) > MAX_DEFINITION or unreadable(source):
                found = unknown("its body is too large to be analysed", source or "")
            else:
                statements = self._analysis.plpgsql(source, function.parameters)
                found = Parsed(tuple(statements), size=len(source))
            self._bodies[function.oid] = found
        return found


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a session said about itself: on what the meaning of its texts depends.

    ``search_path``: schemas in force, implicit ones included (``current_schemas(true)``).
    ``temp_views``: definitions by name; ``temp_relations`` has their names too.
    """

    search_path: tuple[str, ...]
    current_user: str
    session_user: str
    client_encoding: str
    standard_conforming_strings: bool
    temp_relations: frozenset[str]
    temp_views: dict[str, str]
    search_path_setting: str = ""

    @classmethod
    def from_json(cls, data: bytes) -> SessionState:
        """Read what STATE_SQL answered.

        Raises:
            ValueError: it is something else.
        """
        try:
            value = orjson.loads(data)
            temporary = value["temp"] or []
            return cls(
                search_path=tuple(value["path"]),
                current_user=value["current_user"],
                session_user=value["session_user"],
                client_encoding=value["client_encoding"],
                standard_conforming_strings=value["standard_conforming_strings"] == "on",
                temp_relations=frozenset(name for name, _, _ in temporary),
                temp_views={name: text or "" for name, kind, text in temporary if kind == "v"},
                search_path_setting=value["search_path"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError("the session's state cannot be read") from error
