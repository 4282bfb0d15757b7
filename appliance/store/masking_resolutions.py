"""What masking rules were resolved to: remembered for good, so that no rename shakes a rule off."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from appliance.entities import MaskingRule, Resolution
from appliance.masking.columns import function_glob, mask_pattern
from appliance.masking.pairing import check_pairings
from appliance.masking.resolving import Columns, resolve
from appliance.sql.catalog import Catalog
from appliance.store.changes import Change
from appliance.store.fields import to_micros
from appliance.store.masking_models import MaskingRuleRow, ResolutionRow, rule_of
from appliance.store.models import CatalogRow, TargetRow

_KEPT = timedelta(days=7)  # what has gone from the target, at least
_MOST_TOLD = 50  # columns that one audit event names


def read_all() -> Mapping[tuple[str, str], tuple[Resolution, ...]]:
    """Return every resolution by (target, database); for callers inside a store scope."""
    found: dict[tuple[str, str], list[Resolution]] = defaultdict(list)
    row = ResolutionRow
    query = (
        row.select(
            TargetRow.name,
            row.database,
            MaskingRuleRow.name,
            row.oid,
            row.attnum,
            row.pattern,
            row.schema,
            row.relation,
            row.column,
            row.is_computed,
        )
        .join(MaskingRuleRow)
        .join(TargetRow)
        .order_by(row.id)
    )
    for target, database, rule, oid, attnum, pattern, *name, computed in query.tuples():
        schema, relation, column = name
        found[target, database].append(
            Resolution(rule, oid, attnum, pattern, schema, relation, column, bool(computed))
        )
    return {place: tuple(ones) for place, ones in found.items()}


def take_in(doing: Change, target: str, database: str, catalog: Catalog) -> int:
    """Remember what the rules of a target mean in a catalog; return how many columns were new.

    Nothing removes one but the end of its rule or pattern; only a relation that has gone from the
    target for days, and whose name its pattern covers anyway, is forgotten.
    """
    rules = _rules(target)
    if not rules:
        return 0
    return _take_in(doing, rules, database, Columns(catalog, safe_functions(target)))


def take_in_stored(doing: Change, rule: MaskingRule, *, is_checked: bool) -> int:
    """Do the same for one new or changed rule, with every stored catalog of its target.

    Raises: Invalid, where ``is_checked``, for a column whose type the method does not suit.
    """
    rows = CatalogRow.select().join(TargetRow).where(TargetRow.name == rule.target)
    added = 0
    for row in rows:
        try:
            catalog = Catalog.from_json(zlib.decompress(row.data))
        except ValueError:
            continue  # another version's: it is read anew before anything is decided by it
        columns = Columns(catalog, safe_functions(rule.target))
        if is_checked:
            check_pairings(rule, resolve(rule, (), columns), columns)
        added += _take_in(doing, (rule,), row.database, columns)
    return added


def forget_computed(doing: Change, target: str) -> None:
    """Find out anew what is computed from masked columns: other functions are trusted now."""
    for rule in _rules(target):
        computed = (ResolutionRow.rule == rule.id) & ResolutionRow.is_computed
        ResolutionRow.delete().where(computed).execute()
        take_in_stored(doing, rule, is_checked=False)


def safe_functions(target: str) -> list[str]:
    """Return the globs of a target's trusted functions; for callers inside a store scope."""
    patterns = TargetRow.select(TargetRow.safe_functions).where(TargetRow.name == target).scalar()
    return [function_glob(pattern) for pattern in patterns or ()]


def _rules(target: str) -> list[MaskingRule]:
    rows = MaskingRuleRow.select(MaskingRuleRow, TargetRow).join(TargetRow)
    return [rule_of(row) for row in rows.where(TargetRow.name == target)]


def _take_in(doing: Change, rules: Sequence[MaskingRule], database: str, columns: Columns) -> int:
    added = 0
    for rule in rules:
        rows = list(
            ResolutionRow.select().where(
                (ResolutionRow.rule == rule.id) & (ResolutionRow.database == database)
            )
        )
        known = [_resolution(rule.name, row) for row in rows]
        new = [one for one in resolve(rule, known, columns) if one not in set(known)]
        if new:
            _add(doing, rule, database, new)
            added += len(new)
        _forget(doing, rows, columns)
    return added


def _add(doing: Change, rule: MaskingRule, database: str, new: Sequence[Resolution]) -> None:
    for one in new:
        ResolutionRow.insert(
            rule=rule.id,
            database=database,
            added_at=doing.now,
            pattern=one.pattern,
            oid=one.oid,
            attnum=one.attnum,
            schema=one.schema,
            relation=one.relation,
            column=one.column,
            is_computed=one.is_computed,
        ).on_conflict_ignore().execute()
    told = list(dict.fromkeys(f"{one.schema}.{one.relation}.{one.column}" for one in new))
    detail = {"target": rule.target, "database": database, "columns": told[:_MOST_TOLD]}
    more = {"more": len(told) - _MOST_TOLD} if len(told) > _MOST_TOLD else {}
    doing.decides("masking.resolve", rule.name, **detail, **more)


def _forget(doing: Change, rows: Sequence[Any], columns: Columns) -> None:
    """Drop what has gone, so that tables that come and go every hour do not fill the store."""
    old = to_micros(doing.now - _KEPT)
    gone = [
        row.id
        for row in rows
        if to_micros(row.added_at) < old
        and columns.at((row.oid, row.attnum)) is None
        and _covers(row)
    ]
    for start in range(0, len(gone), 500):
        ResolutionRow.delete().where(ResolutionRow.id.in_(gone[start : start + 500])).execute()


def _covers(row: Any) -> bool:
    """Return whether the pattern alone means the name, so that nothing is lost with the row."""
    pattern = mask_pattern(row.pattern)
    return pattern.on(row.schema, row.relation) and pattern.column.holds(row.column)


def _resolution(name: str, row: Any) -> Resolution:
    return Resolution(
        name,
        row.oid,
        row.attnum,
        row.pattern,
        row.schema,
        row.relation,
        row.column,
        row.is_computed,
    )
