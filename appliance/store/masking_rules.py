"""Masking rules: for each column the first from which somebody is not exempt decides."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from appliance.entities import MaskingRule, MaskMode
from appliance.errors import Conflict, Invalid, NotFound
from appliance.masking.columns import mask_pattern
from appliance.masking.values import Method
from appliance.policy.patterns import BadPattern
from appliance.store import masking_resolutions, names
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.grants import check_who
from appliance.store.masking_models import MaskingRuleRow, ResolutionRow, rule_of
from appliance.store.models import TargetRow
from appliance.store.ordering import reordered
from appliance.store.pages import Page, contains, paginate

MAX_VALUE = 1000
_RESERVED = ("default", "profile")  # what verdicts say where no rule decided
_PAIRED = frozenset({"target", "columns", "method", "value"})  # after which types are looked at
_METHODS = tuple(method.value for method in Method)
_MODES = tuple(mode.value for mode in MaskMode)


@dataclass(frozen=True, slots=True)
class MaskingRecord:
    """A rule with its history."""

    id: int
    rule: MaskingRule
    position: int
    created_by: str
    created_at: datetime
    changed_at: datetime


def create(
    store: Store, by: Actor, now: datetime, rule: MaskingRule, *, position: int | None = None
) -> int:
    """Add a rule, by default as the last, and return its id. Raises: Invalid, Conflict."""
    rule = checked(rule)
    with change(store, by, now) as doing:
        _refuse_taken(rule.name)
        target = _checked_names(rule)
        row = MaskingRuleRow.create(
            position=_last() + 1 if position is None else position,
            name=rule.name,
            target=target.id,
            document=_document(rule),
            created_by=by.name,
            created_at=now,
            changed_at=now,
        )
        doing.decides("masking.create", rule.name, target=rule.target, rule=_document(rule))
        masking_resolutions.take_in_stored(doing, replace(rule, id=row.id), is_checked=True)
        return int(row.id)


def update(
    store: Store,
    by: Actor,
    now: datetime,
    name: str,
    rule: MaskingRule,
    *,
    position: int | None = None,
) -> tuple[str, ...]:
    """Make the rule called ``name`` be ``rule`` (also by another name); return what changed.

    A pattern that it no longer has is forgotten with everything that it was resolved to.
    """
    rule = checked(rule)
    with change(store, by, now) as doing:
        row = _row(name)
        if rule.name != name:
            _refuse_taken(rule.name)
        target = _checked_names(rule)
        before, after = asdict(rule_of(row)), asdict(rule)
        told = [key for key in after if key != "id" and after[key] != before[key]]
        if position is not None and position != row.position:
            told.append("position")
        if not told:
            return ()
        MaskingRuleRow.update(
            name=rule.name,
            target=target.id,
            document=_document(rule),
            changed_at=now,
            position=row.position if position is None else position,
        ).where(MaskingRuleRow.id == row.id).execute()
        doing.decides(
            "masking.change", name, changed=told, target=rule.target, rule=_document(rule)
        )
        gone = ResolutionRow.rule == row.id
        if target.id == row.target_id:
            gone &= ResolutionRow.pattern.not_in(list(rule.columns))
        ResolutionRow.delete().where(gone).execute()
        masking_resolutions.take_in_stored(
            doing, replace(rule, id=row.id), is_checked=not _PAIRED.isdisjoint(told)
        )
        return tuple(told)


def delete(store: Store, by: Actor, now: datetime, name: str) -> None:
    """Remove a rule and what it was resolved to. Raises: NotFound."""
    with change(store, by, now) as doing:
        row = _row(name)
        rule = rule_of(row)
        MaskingRuleRow.delete().where(MaskingRuleRow.id == row.id).execute()
        doing.decides("masking.delete", name, target=rule.target, rule=row.document)


def forget(store: Store, by: Actor, now: datetime, name: str) -> int:
    """Resolve a rule anew, by names alone; return how many columns it was remembered for.

    For a target that was restored elsewhere: there the old OIDs mean other columns.
    """
    with change(store, by, now) as doing:
        row = _row(name)
        gone = ResolutionRow.delete().where(ResolutionRow.rule == row.id).execute()
        doing.decides("masking.forget", name, target=row.target.name, columns=int(gone))
        masking_resolutions.take_in_stored(doing, rule_of(row), is_checked=False)
        return int(gone)


def reorder(store: Store, by: Actor, now: datetime, wanted: tuple[str, ...]) -> bool:
    """Put the rules into this order; those not named follow in their present order."""
    with change(store, by, now) as doing:
        present = [r.name for r in MaskingRuleRow.select(MaskingRuleRow.name).order_by(*_order())]
        order = reordered(present, wanted, "masking rule")
        if order == present:
            return False
        for position, name in enumerate(order):
            MaskingRuleRow.update(position=position).where(MaskingRuleRow.name == name).execute()
        doing.decides("masking.reorder", "masking", order=order)
        return True


def get(store: Store, name: str) -> MaskingRecord:
    """Return one rule. Raises: NotFound."""
    with store.reading():
        return _record(_row(name))


def find(
    store: Store,
    text: str = "",
    *,
    target: str = "",
    sort: str = "position",
    page: int = 1,
    size: int = 50,
) -> Page[MaskingRecord]:
    """Return the rules whose name, columns or exemptions hold ``text``; of one target or all."""
    with store.reading():
        query = MaskingRuleRow.select(MaskingRuleRow, TargetRow).join(TargetRow)
        if target:
            query = query.where(TargetRow.name == target)
        if text:
            query = query.where(
                contains(MaskingRuleRow.name, text) | contains(MaskingRuleRow.document, text)
            )
        columns = {
            "position": MaskingRuleRow.position,
            "name": MaskingRuleRow.name,
            "target": TargetRow.name,
        }
        tie = MaskingRuleRow.id
        return paginate(query, _record, sort=sort, columns=columns, tie=tie, page=page, size=size)


def read_all() -> tuple[MaskingRule, ...]:
    """Return every rule in order; for callers inside a store scope."""
    query = MaskingRuleRow.select(MaskingRuleRow, TargetRow).join(TargetRow).order_by(*_order())
    return tuple(map(rule_of, query))


def names_group(group: str) -> bool:
    """Return whether a rule exempts ``group:GROUP``; for callers inside a store scope."""
    return any(f"group:{group}" in rule.exempt for rule in read_all())


def names_on(target_id: int) -> list[str]:
    """Return the names of a target's rules; for callers inside a store scope."""
    query = MaskingRuleRow.select(MaskingRuleRow.name).where(MaskingRuleRow.target == target_id)
    return [row.name for row in query.order_by(*_order())]


def checked(rule: MaskingRule) -> MaskingRule:
    """Return the rule if its values can be. Raises: Invalid."""
    names.plain_name("name", rule.name)
    if rule.name in _RESERVED:
        raise Invalid("name", f"{rule.name!r} is what verdicts say where no rule decided")
    names.choice("method", rule.method, _METHODS)
    names.choice("mode", rule.mode, _MODES)
    if not rule.columns:
        raise Invalid("columns", "expected at least one column, such as public.customers.ssn")
    _check_count("columns", rule.columns)
    for index, pattern in enumerate(rule.columns):
        field = f"columns[{index}]"
        names.one_line(field, pattern)
        try:
            mask_pattern(pattern)
        except BadPattern as error:
            raise Invalid(field, str(error), "* stands for anything within a part") from None
        if pattern in rule.columns[:index]:
            raise Invalid(field, f"{pattern} is there twice")
    _check_value(rule)
    _check_count("exempt", rule.exempt)
    for index, who in enumerate(rule.exempt):
        if who == "*":
            raise Invalid(
                f"exempt[{index}]", "would exempt everybody", "set enabled: false instead"
            )
    return replace(rule, method=Method(rule.method), mode=MaskMode(rule.mode))


def _check_value(rule: MaskingRule) -> None:
    if rule.method != Method.FIXED:
        if rule.value is not None:
            raise Invalid("value", f"only the method fixed has a value, not {rule.method}")
    elif rule.value is None:
        raise Invalid("value", "the method fixed needs the value that is shown instead")
    elif len(rule.value) > MAX_VALUE or "\0" in rule.value:
        raise Invalid("value", f"expected at most {MAX_VALUE} characters without NUL")


def _check_count(field: str, words: tuple[str, ...]) -> None:
    if len(words) > names.MAX_LIST:
        raise Invalid(field, f"expected at most {names.MAX_LIST} entries, got {len(words)}")


def _checked_names(rule: MaskingRule) -> Any:
    """Return the target's row. Raises: Invalid unless everybody the rule names is known."""
    for index, who in enumerate(rule.exempt):
        check_who(f"exempt[{index}]", who)
    target = TargetRow.get_or_none(TargetRow.name == rule.target)
    if target is None:
        raise Invalid("target", f"no target is called {rule.target}")
    return target


def _refuse_taken(name: str) -> None:
    if MaskingRuleRow.get_or_none(MaskingRuleRow.name == name):
        raise Conflict(f"there is already a masking rule called {name}")


def _document(rule: MaskingRule) -> dict[str, Any]:
    """Return all but the names, without what is not said."""
    found: dict[str, Any] = {
        "columns": list(rule.columns),
        "method": rule.method.value,
        "mode": rule.mode.value,
        "exempt": list(rule.exempt),
        "enabled": rule.enabled,
    }
    return found | ({} if rule.value is None else {"value": rule.value})


def _record(row: Any) -> MaskingRecord:
    return MaskingRecord(
        row.id, rule_of(row), row.position, row.created_by, row.created_at, row.changed_at
    )


def _row(name: str) -> Any:
    row = MaskingRuleRow.get_or_none(MaskingRuleRow.name == name)
    if row is None:
        raise NotFound(f"no masking rule is called {name}")
    return row


def _last() -> int:
    row = MaskingRuleRow.select(MaskingRuleRow.position)
    last = row.order_by(MaskingRuleRow.position.desc()).first()
    return last.position if last else -1


def _order() -> tuple[Any, Any]:
    return MaskingRuleRow.position, MaskingRuleRow.id
