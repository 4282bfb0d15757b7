"""Which columns each masking rule means now, in every database whose catalog was read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.entities import MaskingRule, Resolution
from appliance.masking.columns import mask_pattern
from appliance.masking.resolving import Columns, resolve
from appliance.sql.catalog import Catalog
from appliance.store import catalogs, masking_resolutions, masking_rules
from appliance.store.database import Store
from appliance.store.models import CatalogRow, TargetRow


@dataclass(frozen=True, slots=True)
class CoveredColumn:
    """A column that a rule means.

    ``why``: "" where the pattern means its present name, else how it comes to be meant.
    """

    column: str  # "public.customers.card_number"
    type: str
    pattern: str
    is_computed: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseCoverage:
    """What a rule means in one database; ``unmatched``: patterns that mean nothing there."""

    database: str
    read_at: datetime
    columns: tuple[CoveredColumn, ...]
    unmatched: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """A rule and its columns; no databases: no catalog of the target was read yet."""

    rule: MaskingRule
    databases: tuple[DatabaseCoverage, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a sentence for each pattern that means no column in any database."""
        if not self.databases:
            return ()
        places = ", ".join(one.database for one in self.databases)
        read = max(one.read_at for one in self.databases).strftime("%Y-%m-%d %H:%M:%SZ")
        of = f"catalog of {places}" if len(self.databases) == 1 else f"catalogs of {places}"
        return tuple(
            f"{pattern} matches no column in the {of} as read at {read}"
            for pattern in self.rule.columns
            if all(pattern in one.unmatched for one in self.databases)
        )


def of_rules(store: Store, *, target: str = "") -> tuple[RuleCoverage, ...]:
    """Return every rule in order, of one target or of all, with the columns that it means."""
    with store.reading(consistent=True):
        rules = [r for r in masking_rules.read_all() if not target or r.target == target]
        known = masking_resolutions.read_all() if rules else {}
        read: dict[str, list[tuple[str, datetime, Columns]]] = {}
        for name in {rule.target for rule in rules}:
            read[name] = _catalogs(store, name)
    return tuple(
        RuleCoverage(
            rule,
            tuple(
                _coverage(rule, known.get((rule.target, database), ()), database, at, columns)
                for database, at, columns in read[rule.target]
            ),
        )
        for rule in rules
    )


def _catalogs(store: Store, target: str) -> list[tuple[str, datetime, Columns]]:
    found = []
    safe = masking_resolutions.safe_functions(target)
    query = CatalogRow.select(CatalogRow.database).join(TargetRow).where(TargetRow.name == target)
    for (database,) in query.order_by(CatalogRow.database).tuples():
        stored = catalogs.get(store, target, database)
        if stored is None:
            continue
        try:
            columns = Columns(Catalog.from_json(stored.data), safe)
        except ValueError:
            continue  # another version's: serve reads it anew
        found.append((database, stored.read_at, columns))
    return found


def _coverage(
    rule: MaskingRule,
    known: tuple[Resolution, ...],
    database: str,
    read_at: datetime,
    columns: Columns,
) -> DatabaseCoverage:
    found = resolve(rule, known, columns)
    mine = [one for one in known if one.rule == rule.name]
    meant = {one.pattern for one in found}
    return DatabaseCoverage(
        database,
        read_at,
        tuple(_covered(one, mine, columns) for one in found),
        tuple(pattern for pattern in rule.columns if pattern not in meant),
    )


def _covered(one: Resolution, known: list[Resolution], columns: Columns) -> CoveredColumn:
    here = columns.at((one.oid, one.attnum))
    return CoveredColumn(
        f"{one.schema}.{one.relation}.{one.column}",
        here[1].type if here else "",
        one.pattern,
        one.is_computed,
        _why(one, known, columns),
    )


def _why(one: Resolution, known: list[Resolution], columns: Columns) -> str:
    pattern = mask_pattern(one.pattern)
    if one.is_computed:
        return "computed from a column that it means"
    if pattern.on(one.schema, one.relation) and pattern.column.holds(one.column):
        return ""
    place, name = (one.oid, one.attnum), (one.schema, one.relation, one.column)
    for was in known:
        if was.pattern != one.pattern or (was.schema, was.relation, was.column) == name:
            continue
        if (was.oid, was.attnum) == place:
            return f"was {was.schema}.{was.relation}.{was.column}"
    if columns.catalog.parents(one.oid):
        return "partition or child of a relation that it means"
    return "has a name that such a column had"
