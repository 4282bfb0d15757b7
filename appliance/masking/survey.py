"""Every column of a database: the rules that cover it, and what it looks like. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from appliance.entities import MaskingRule, Resolution
from appliance.masking.classify import ColumnFacts, Suggestion, classify, is_worth_a_look
from appliance.masking.columns import function_glob
from appliance.masking.maskers import why_not
from appliance.masking.resolving import Columns, Place, resolve
from appliance.masking.types import Kind, type_named, type_of
from appliance.masking.values import Method
from appliance.sql.catalog import Catalog, Column, Relation

_SHOWN = "rpmfv"
_SAMPLED = "rpm"
_FIRST_USER_OID = 16384
_MAX_DEPTH = 32  # of domains over domains

Values = Mapping[Place, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Cover:
    """A rule that means a column. ``is_computed``: only by what the column is made from."""

    rule: MaskingRule
    is_computed: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One column. ``base``: its type, a domain's by what it is over. ``covers``: in order."""

    relation: Relation
    column: Column
    base: str
    covers: tuple[Cover, ...] = ()
    suggestion: Suggestion | None = None

    @property
    def place(self) -> Place:
        return self.relation.oid, self.column.number

    @property
    def table(self) -> str:
        return f"{self.relation.name.schema}.{self.relation.name.name}"

    @property
    def name(self) -> str:
        """Return the column as a rule's pattern names it."""
        parts = (self.relation.name.schema or "", self.relation.name.name, self.column.name)
        return ".".join(map(pattern_part, parts))

    @property
    def live(self) -> Cover | None:
        """Return the first rule that is on."""
        return next((cover for cover in self.covers if cover.rule.enabled), None)

    @property
    def is_uncovered(self) -> bool:
        """Return whether it looks sensitive and no rule covers it."""
        return self.suggestion is not None and self.live is None


class Survey:
    """One database's columns, made once for a page."""

    def __init__(
        self,
        catalog: Catalog,
        rules: Iterable[MaskingRule] = (),
        resolutions: Sequence[Resolution] = (),
        safe_functions: Iterable[str] = (),
    ) -> None:
        """``rules``: of this target, in order. ``safe_functions``: as the target has them."""
        self.catalog = catalog
        self._covers: dict[Place, list[Cover]] = defaultdict(list)
        self.columns = Columns(catalog, map(function_glob, safe_functions))
        for rule in rules:
            own: dict[Place, bool] = {}
            for one in resolve(rule, resolutions, self.columns):
                place = one.oid, one.attnum
                own[place] = own.get(place, True) and one.is_computed
            for place, is_computed in own.items():
                self._covers[place].append(Cover(rule, is_computed))
        self._bases: dict[str, str] = {}
        self._methods: dict[str, tuple[Method, ...]] = {}
        self.relations = sorted(
            (one for one in catalog.relations() if _is_shown(one)),
            key=lambda one: (one.name.schema or "", one.name.name),
        )

    def of(self, relation: Relation, values: Values | None = None) -> list[Seen]:
        """Return a relation's columns; with what they look like where that can be known.

        Views show what tables hold, and partitions are covered with their parent: neither is
        suggested for itself.
        """
        is_own = relation.kind in _SAMPLED + "f" and not self.catalog.parents(relation.oid)
        found = []
        for column in relation.columns or ():
            base = self.base(column.type)
            place = relation.oid, column.number
            suggestion = None
            if is_own:
                table = f"{relation.name.schema}.{relation.name.name}"
                looked = None if values is None else _flat(base, values.get(place))
                suggestion = classify(ColumnFacts(table, column.name, base, looked))
            covers = tuple(self._covers.get(place, ()))
            suggestion = suggestion and self._possible(suggestion, column.type)
            found.append(Seen(relation, column, base, covers, suggestion))
        return found

    def all(self, values: Values | None = None) -> list[Seen]:
        """Return the columns of all relations."""
        return [seen for relation in self.relations for seen in self.of(relation, values)]

    def uncovered(self, values: Values | None = None) -> list[Seen]:
        """Return what looks sensitive and has no rule, the most certain first."""
        return self.most_certain(self.all(values))

    @staticmethod
    def most_certain(columns: Iterable[Seen]) -> list[Seen]:
        """Return those that look sensitive and have no rule, the most certain first."""
        found = [seen for seen in columns if seen.is_uncovered]
        return sorted(found, key=lambda seen: -seen.suggestion.confidence if seen.suggestion else 0)

    def to_look_at(self) -> list[tuple[Relation, tuple[tuple[int, str, bool], ...]]]:
        """Return the relations whose values say more than names, with those columns.

        Each column as (attribute number, name, whether it is an array).
        """
        found = []
        for relation in self.relations:
            if relation.kind not in _SAMPLED or self.catalog.parents(relation.oid):
                continue
            columns = tuple(
                (column.number, column.name, facts.is_array)
                for column in relation.columns or ()
                if is_worth_a_look(facts := ColumnFacts("", column.name, self.base(column.type)))
                and not self._covers.get((relation.oid, column.number))
            )
            if columns:
                found.append((relation, columns))
        return found

    def methods(self, type_name: str) -> tuple[Method, ...]:
        """Return the methods that columns of a type can have without a value of their own."""
        if type_name not in self._methods:
            self._methods[type_name] = tuple(
                method
                for method in Method
                if method is not Method.FIXED and not why_not(method, type_name, None, self.catalog)
            )
        return self._methods[type_name]

    def base(self, type_name: str) -> str:
        """Return a type as ``ColumnFacts`` has it: a domain is what it is over."""
        if type_name not in self._bases:
            self._bases[type_name] = _base(type_name, self.catalog)
        return self._bases[type_name]

    def _possible(self, suggestion: Suggestion, type_name: str) -> Suggestion:
        """Return the suggestion with a method that the type can have."""
        if why_not(suggestion.method, type_name, None, self.catalog) == "":
            of = type_named(type_name, self.catalog)
            if of is None or of.kind is not Kind.CONSTRAINED:
                return suggestion
        return replace(suggestion, method=Method.NULL)


def pattern_part(name: str) -> str:
    """Return a name as a part of a pattern: quoted where a dot, a star or a quote is in it."""
    if name and not any(character in name for character in '."*') and name == name.strip():
        return name
    return '"' + name.replace('"', '""') + '"'


def _is_shown(relation: Relation) -> bool:
    return (
        relation.kind in _SHOWN
        and relation.oid >= _FIRST_USER_OID
        and bool(relation.columns)
        and not relation.is_system
    )


def _flat(base: str, values: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the elements of arrays, which come as JSON."""
    if values is None or not base.startswith("_"):
        return values
    found: list[str] = []
    pending: list[object] = [orjson.loads(value) for value in values]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif value is not None:
            found.append(str(value))
    return tuple(found)


def _base(type_name: str, catalog: Catalog) -> str:
    rows = {f"{row[1]}.{row[2]}": row for row in catalog.type_rows}
    by_oid = {row[0]: row for row in catalog.type_rows}
    row = rows.get(type_name)
    if row is None or row[3] != "d":
        return type_name
    for _ in range(_MAX_DEPTH):
        oid = row[5]
        row = by_oid.get(oid)
        if row is None:
            of = type_of(oid, catalog)
            element = type_of(of.element, catalog) if of.kind is Kind.ARRAY else None
            return of.kind.value if element is None else f"_{element.kind.value}"
        if row[3] != "d":
            return f"{row[1]}.{row[2]}"
    return type_name
