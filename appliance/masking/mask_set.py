"""What an identity's masking rules say about the columns of one database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType

from appliance.entities import (
    Identity,
    MaskingRule,
    MaskMode,
    Resolution,
    Snapshot,
    Target,
    who_matches,
)
from appliance.masking.columns import function_glob
from appliance.masking.reach import Reachable
from appliance.masking.resolving import Columns, resolve
from appliance.masking.values import ColumnMask, Method
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Facts

_NOTHING: Mapping[str, ColumnMask] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MaskRules:
    """The rules of a target from which an identity is not exempt, in order.

    Equal where they decide alike, whoever the identity is: sessions may share what was decided.
    ``safe_functions``: globs ("schema.name") as ``fnmatchcase`` takes them.
    """

    key: bytes
    rules: tuple[MaskingRule, ...] = field(compare=False)
    resolutions: tuple[Resolution, ...] = field(compare=False, repr=False)
    safe_functions: tuple[str, ...] = field(compare=False)

    @classmethod
    def of(
        cls, snapshot: Snapshot, identity: Identity, target: Target, database: str
    ) -> MaskRules | None:
        """Return the rules for a session; None where no rule bites, so nothing costs anything."""
        rules = tuple(
            rule
            for rule in snapshot.masking
            if rule.enabled
            and rule.target == target.name
            and not any(who_matches(who, identity) for who in rule.exempt)
        )
        if not rules:
            return None
        names = {rule.name for rule in rules}
        resolutions = tuple(
            one
            for one in snapshot.resolutions.get((target.name, database), ())
            if one.rule in names
        )
        safe = tuple(map(function_glob, target.safe_functions))
        decides = [(rule.name, rule.columns, rule.method, rule.value, rule.mode) for rule in rules]
        text = repr((target.name, database, decides, sorted(map(repr, resolutions)), safe))
        key = blake2b(text.encode(errors="backslashreplace"), digest_size=16).digest()
        return cls(key, rules, resolutions, safe)


class MaskSet:
    """The masks of a database's columns by place. Never changes once built."""

    def __init__(self, masks: Mapping[tuple[int, int], ColumnMask], catalog: Catalog) -> None:
        self._masks = dict(masks)
        self._relations: dict[int, dict[str, ColumnMask]] = {}
        for oid, attnum in self._masks:
            relation = catalog.by_oid(oid)
            for column in (relation.columns if relation else None) or ():
                if column.number == attnum:
                    self._relations.setdefault(oid, {})[column.name] = self._masks[oid, attnum]
        self._reach = Reachable(catalog, frozenset(self._relations))
        self._above = _parents_columns(self._relations, catalog)

    @classmethod
    def of(cls, rules: MaskRules, catalog: Catalog) -> MaskSet:
        """Return what the rules say in one database; the first rule of a column decides."""
        columns = Columns(catalog, rules.safe_functions)
        masks: dict[tuple[int, int], ColumnMask] = {}
        for rule in rules.rules:
            own: dict[tuple[int, int], Resolution] = {}
            for one in resolve(rule, rules.resolutions, columns):
                place = one.oid, one.attnum
                if place not in own or own[place].is_computed:
                    own[place] = one
            for place, one in own.items():
                masks.setdefault(place, _mask(rule, one))
        return cls(masks, catalog)

    @property
    def is_empty(self) -> bool:
        """Return whether no column has a mask."""
        return not self._masks

    def column(self, oid: int, attnum: int) -> ColumnMask | None:
        """Return the mask of one column."""
        return self._masks.get((oid, attnum))

    def relation(self, oid: int) -> Mapping[str, ColumnMask]:
        """Return the masks of a relation's columns by name."""
        return self._relations.get(oid, _NOTHING)

    def origin(self, oid: int, attnum: int) -> ColumnMask | None:
        """Return the mask of what a RowDescription says a column is; attnum 0: a whole row.

        A parent shows its children's rows too, so it has their masks here.
        """
        if not self._masks or oid == 0:
            return None
        found = self._masks.get((oid, attnum)) or self._above.get((oid, attnum))
        if found is not None or attnum != 0:
            return found
        masks = [*self.relation(oid).values()]
        masks += [mask for (parent, _), mask in self._above.items() if parent == oid]
        if not masks:
            return None
        first = masks[0]
        return ColumnMask(first.rule, Method.NULL, first.column, is_strict=first.is_strict)

    def reaches(self, facts: Facts) -> bool:
        """Return False only where a statement surely has nothing to do with masked columns."""
        return bool(self._masks) and self._reach.holds(facts)


def _mask(rule: MaskingRule, one: Resolution) -> ColumnMask:
    """Return the mask of one column; what is computed from a masked one never shows a part."""
    method = rule.method
    if one.is_computed and method is not Method.NULL:
        method = Method.REDACT
    return ColumnMask(
        rule.name,
        method,
        f"{one.schema}.{one.relation}.{one.column}",
        rule.value if method is Method.FIXED else None,
        rule.mode is MaskMode.STRICT,
    )


def _parents_columns(
    relations: Mapping[int, Mapping[str, ColumnMask]], catalog: Catalog
) -> dict[tuple[int, int], ColumnMask]:
    """Return the columns of parents whose children's rows have a mask under the same name."""
    found: dict[tuple[int, int], ColumnMask] = {}
    for oid, masks in relations.items():
        pending, seen = list(catalog.parents(oid)), {oid}
        while pending:
            parent = pending.pop()
            if parent in seen:
                continue
            seen.add(parent)
            pending += catalog.parents(parent)
            relation = catalog.by_oid(parent)
            for column in (relation.columns if relation else None) or ():
                if column.name in masks:
                    mask = masks[column.name]
                    whole = ColumnMask(
                        mask.rule, Method.NULL, mask.column, is_strict=mask.is_strict
                    )
                    found.setdefault((parent, column.number), whole)
    return found
