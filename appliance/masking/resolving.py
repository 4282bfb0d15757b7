"""Which columns of a database a masking rule means: by name, and by what it meant before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from appliance.entities import MaskingRule, Resolution
from appliance.masking.columns import MaskPattern, mask_pattern
from appliance.masking.filled import Filled
from appliance.sql.catalog import Catalog, Column, Relation

_KINDS = "rpvmf"  # what has columns of its own that a query can show

Place = tuple[int, int]  # (relation's OID, attribute number)


class Columns:
    """A catalog's columns by place and by name: made once for all rules.

    ``safe_functions``: globs over "schema.name" of code that passes nothing on.
    """

    def __init__(self, catalog: Catalog, safe_functions: Iterable[str] = ()) -> None:
        self.catalog = catalog
        self.filled = Filled(catalog, tuple(safe_functions))
        self._named: dict[str, list[tuple[Relation, Column]]] = defaultdict(list)
        for relation in catalog.relations():
            if relation.kind not in _KINDS:
                continue
            for column in relation.columns or ():
                self._named[column.name].append((relation, column))

        self._generated: dict[Place, set[Place]] = defaultdict(set)
        for (oid, number), sources in catalog.generated_columns():
            for source in sources:
                self._generated[oid, source].add((oid, number))

    def at(self, place: Place) -> tuple[Relation, Column] | None:
        """Return what is at a place now."""
        oid, number = place
        relation = self.catalog.by_oid(oid)
        if relation is None or relation.kind not in _KINDS:
            return None
        columns = relation.columns or ()
        if 0 < number <= len(columns) and columns[number - 1].number == number:
            return relation, columns[number - 1]  # none before it was dropped
        return next(((relation, one) for one in columns if one.number == number), None)

    def generated_from(self, place: Place) -> set[Place]:
        """Return the columns that are computed from one."""
        return self._generated.get(place, set())

    def matching(self, pattern: MaskPattern) -> Iterator[Place]:
        """Return the places that a pattern means."""
        exact = not pattern.column.is_any and pattern.column.regex is None
        names = (
            [pattern.column.text]
            if exact
            else [name for name in self._named if pattern.column.holds(name)]
        )
        for name in names:
            for relation, column in self._named.get(name, ()):
                if pattern.on(relation.name.schema or "", relation.name.name):
                    yield relation.oid, column.number

    def called(self, schema: str, relation: str, column: str) -> Place | None:
        """Return the place of exactly that name."""
        for owner, found in self._named.get(column, ()):
            if owner.name.schema == schema and owner.name.name == relation:
                return owner.oid, found.number
        return None

    def resolution(self, rule: str, pattern: str, place: Place, *, computed: bool) -> Resolution:
        """Return a place under its present name."""
        here = self.at(place)
        if here is None:
            raise ValueError(f"there is no column {place}")
        relation, column = here
        return Resolution(
            rule,
            *place,
            pattern,
            relation.name.schema or "",
            relation.name.name,
            column.name,
            computed,
        )


def resolve(
    rule: MaskingRule, known: Iterable[Resolution], columns: Columns
) -> tuple[Resolution, ...]:
    """Return the columns that a rule means now, each once for each of its patterns.

    ``known``: what rules were resolved to before. By its place or by any name that it ever had, a
    column stays meant; a rule on a parent means its partitions and children too; what is generated,
    or filled by a trigger, a rule or a default from a column counts as computed from it.
    """
    before: dict[str, list[Resolution]] = defaultdict(list)
    for one in known:
        if one.rule == rule.name:
            before[one.pattern].append(one)
    found: list[Resolution] = []
    for pattern in rule.columns:
        places = dict.fromkeys(columns.matching(mask_pattern(pattern)), False)
        for one in before[pattern]:
            named = columns.called(one.schema, one.relation, one.column)
            for place in ((one.oid, one.attnum), named):
                if place is not None and columns.at(place) is not None:
                    # what was meant itself once is not computed from something
                    places[place] = places.get(place, True) and one.is_computed
        _spread(places, columns)
        found += [
            columns.resolution(rule.name, pattern, place, computed=computed)
            for place, computed in sorted(places.items())
        ]
    return tuple(found)


def _spread(places: dict[Place, bool], columns: Columns) -> None:
    """Add what holds the values of these columns too; True: as a part of something computed."""
    catalog = columns.catalog
    pending = sorted(places)
    while pending:
        place = pending.pop()
        here = columns.at(place)
        if here is None:
            continue
        relation, column = here
        same = {
            (child, other.number)
            for child in catalog.children(relation.oid)
            for other in _columns(catalog, child)
            if other.name == column.name
        }
        made = columns.generated_from(place) | columns.filled.from_column(relation, column.name)
        for more, computed in ((same, places[place]), (made, True)):
            for other_place in more:
                if columns.at(other_place) is None:
                    continue
                if other_place not in places or (places[other_place] and not computed):
                    places[other_place] = computed
                    pending.append(other_place)


def _columns(catalog: Catalog, oid: int) -> tuple[Column, ...]:
    relation = catalog.by_oid(oid)
    return (relation.columns if relation else None) or ()
