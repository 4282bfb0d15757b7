"""Policy rules: what happens to an effect. The first whose conditions all hold decides."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from appliance.entities import PolicyRule
from appliance.errors import Conflict, Invalid, NotFound
from appliance.hours import parse_hours
from appliance.policy.patterns import BadPattern, column_pattern, name_pattern
from appliance.policy.rules import contradictions
from appliance.sql.facts import EffectClass
from appliance.store import names
from appliance.store.actors import Actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.grants import check_who
from appliance.store.models import RoleRow, RuleRow, TargetRow
from appliance.store.ordering import reordered
from appliance.store.pages import Page, contains, paginate
from appliance.store.settings import ACTIONS

MAX_WAIT_S = 7 * 86400
BUILTIN_PREFIX = "builtin:"
_RESERVED = {
    "default": "what verdicts say when no rule decided",
    "profile": "what verdicts say when a statement profile decided",
}
MAX_ROWS = 10**15
_LISTS = tuple(f.name for f in fields(PolicyRule) if f.type == "tuple[str, ...]")
_DEFAULTS = PolicyRule(name="", action="")


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """A rule with its history."""

    id: int
    rule: PolicyRule
    position: int
    created_by: str
    created_at: datetime
    changed_at: datetime


def create(
    store: Store, by: Actor, now: datetime, rule: PolicyRule, *, position: int | None = None
) -> int:
    """Add a rule, by default as the last, and return its id. Raises: Invalid, Conflict."""
    rule = checked(rule)
    with change(store, by, now) as doing:
        if RuleRow.get_or_none(RuleRow.name == rule.name):
            raise Conflict(f"there is already a rule called {rule.name}")
        check_names(rule)
        row = RuleRow.create(
            position=_last() + 1 if position is None else position,
            name=rule.name,
            document=_document(rule),
            created_by=by.name,
            created_at=now,
            changed_at=now,
        )
        doing.decides("rule.create", rule.name, rule=_document(rule))
        return int(row.id)


def update(
    store: Store,
    by: Actor,
    now: datetime,
    name: str,
    rule: PolicyRule,
    *,
    position: int | None = None,
) -> tuple[str, ...]:
    """Make the rule called ``name`` be ``rule`` (also by another name); return what changed."""
    rule = checked(rule)
    with change(store, by, now) as doing:
        row = _row(name)
        if rule.name != name and RuleRow.get_or_none(RuleRow.name == rule.name):
            raise Conflict(f"there is already a rule called {rule.name}")
        check_names(rule)
        before, after = asdict(_rule(row)), asdict(rule)
        told = [key for key in after if after[key] != before[key]]
        if position is not None and position != row.position:
            told.append("position")
        if not told:
            return ()
        RuleRow.update(
            name=rule.name,
            document=_document(rule),
            changed_at=now,
            position=row.position if position is None else position,
        ).where(RuleRow.id == row.id).execute()
        doing.decides("rule.change", name, changed=told, rule=_document(rule))
        return tuple(told)


def delete(store: Store, by: Actor, now: datetime, name: str) -> None:
    """Remove a rule. Raises: NotFound."""
    with change(store, by, now) as doing:
        row = _row(name)
        RuleRow.delete().where(RuleRow.id == row.id).execute()
        doing.decides("rule.delete", name, rule=row.document)


def reorder(store: Store, by: Actor, now: datetime, wanted: tuple[str, ...]) -> bool:
    """Put the rules into this order; those not named follow in their present order."""
    with change(store, by, now) as doing:
        present = [row.name for row in RuleRow.select(RuleRow.name).order_by(*_order())]
        order = reordered(present, wanted, "rule")
        if order == present:
            return False
        for position, name in enumerate(order):
            RuleRow.update(position=position).where(RuleRow.name == name).execute()
        doing.decides("rule.reorder", "rules", order=order)
        return True


def get(store: Store, name: str) -> RuleRecord:
    """Return one rule. Raises: NotFound."""
    with store.reading():
        return _record(_row(name))


def find(
    store: Store, text: str = "", *, sort: str = "position", page: int = 1, size: int = 50
) -> Page[RuleRecord]:
    """Return the rules whose name or conditions hold ``text``."""
    with store.reading():
        query = RuleRow.select()
        if text:
            query = query.where(contains(RuleRow.name, text) | contains(RuleRow.document, text))
        columns = {"position": RuleRow.position, "name": RuleRow.name}
        return paginate(
            query, _record, sort=sort, columns=columns, tie=RuleRow.id, page=page, size=size
        )


def read_all() -> tuple[PolicyRule, ...]:
    """Return every rule in order; for callers inside a store scope."""
    return tuple(_rule(row) for row in RuleRow.select().order_by(*_order()))


def checked(rule: PolicyRule) -> PolicyRule:
    """Return the rule with its values in canonical form. Raises: Invalid."""
    names.plain_name("name", rule.name)
    if rule.name in _RESERVED:
        raise Invalid("name", f"{rule.name!r} is {_RESERVED[rule.name]}")
    names.choice("action", rule.action, ACTIONS)
    if not rule.who:
        raise Invalid("who", "expected at least one of *, identity:NAME, group:NAME, kind:KIND")
    classes = tuple(cls.value for cls in EffectClass)
    for index, command in enumerate(rule.commands):
        names.choice(f"commands[{index}]", command, classes)
    for field, parse in (
        ("tables", name_pattern),
        ("functions", name_pattern),
        ("columns", column_pattern),
    ):
        for index, pattern in enumerate(getattr(rule, field)):
            _check_pattern(f"{field}[{index}]", pattern, parse)
    for field in ("timeout_s", "retry_s"):
        _check_wait(field, getattr(rule, field), rule.action)
    if rule.approvers is not None and rule.action != "approve":
        raise Invalid("approvers", "only a rule with action approve has approvers")
    if rule.owner_may_approve and rule.action != "approve":
        raise Invalid("owner_may_approve", "only a rule with action approve has approvers")
    _check_rows(rule)
    hours = rule.hours.strip()
    if hours:
        parse_hours(hours)
    return PolicyRule(
        **{
            **{f.name: getattr(rule, f.name) for f in fields(PolicyRule)},
            "sources": names.networks("sources", rule.sources),
            "application_names": names.globs("application_names", rule.application_names),
            "message": names.one_line("message", rule.message),
            "hours": hours,
        }
    )


def check_names(rule: PolicyRule) -> None:
    """Raise Invalid unless everybody and everything the rule names is known."""
    for index, who in enumerate(rule.who):
        check_who(f"who[{index}]", who)
    targets = {name for (name,) in TargetRow.select(TargetRow.name).tuples()}
    for index, name in enumerate(rule.targets):
        if name not in targets:
            raise Invalid(f"targets[{index}]", f"no target is called {name}")
    roles = {name for (name,) in RoleRow.select(RoleRow.name).tuples()}
    for index, name in enumerate(rule.roles):
        if name not in roles:
            raise Invalid(f"roles[{index}]", f"no target has an upstream role {name}")
    if rule.approvers is not None:
        if not rule.approvers.startswith(("group:", "identity:")):
            raise Invalid("approvers", "expected group:NAME or identity:NAME")
        check_who("approvers", rule.approvers)


def names_group(group: str) -> bool:
    """Return whether a rule names ``group:GROUP``; for callers inside a store scope."""
    word = f"group:{group}"
    return any(word in (*rule.who, rule.approvers) for rule in read_all())


def names_target(target: str) -> bool:
    """Return whether a rule names this target; for callers inside a store scope."""
    return any(target in rule.targets for rule in read_all())


def names_role(role: str) -> bool:
    """Return whether a rule names this upstream role; for callers inside a store scope."""
    return any(role in rule.roles for rule in read_all())


def _check_pattern(field: str, pattern: str, parse: Any) -> None:
    try:
        parse(pattern)
    except BadPattern as error:
        raise Invalid(field, str(error), "write schema.name, * stands for anything") from None


def _check_wait(field: str, seconds: int | None, action: str) -> None:
    word = field.removesuffix("_s")
    if seconds is None:
        return
    if action != "approve":
        raise Invalid(word, f"only a rule with action approve has a {word}")
    if not 1 <= seconds <= MAX_WAIT_S:
        raise Invalid(word, f"expected 1s to 7d, got {seconds}s")


def _check_rows(rule: PolicyRule) -> None:
    if rule.rows_over is None:
        return
    if not 0 <= rule.rows_over <= MAX_ROWS:
        raise Invalid("rows_over", f"expected 0 or more rows, got {rule.rows_over}")
    for field, sentence in contradictions(rule):
        if field == "rows_over":
            raise Invalid(field, sentence)


def _document(rule: PolicyRule) -> dict[str, Any]:
    """Return what differs from the defaults, so that documents stay short and comparable."""
    found: dict[str, Any] = {}
    for field in fields(PolicyRule):
        value = getattr(rule, field.name)
        if field.name != "name" and value != getattr(_DEFAULTS, field.name):
            found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def _rule(row: Any) -> PolicyRule:
    lists = {name: tuple(row.document[name]) for name in _LISTS if name in row.document}
    return PolicyRule(**{**row.document, "name": row.name, **lists})


def _record(row: Any) -> RuleRecord:
    return RuleRecord(
        row.id, _rule(row), row.position, row.created_by, row.created_at, row.changed_at
    )


def _row(name: str) -> Any:
    row = RuleRow.get_or_none(RuleRow.name == name)
    if row is None:
        raise NotFound(f"no rule is called {name}")
    return row


def _last() -> int:
    row = RuleRow.select(RuleRow.position).order_by(RuleRow.position.desc()).first()
    return row.position if row else -1


def _order() -> tuple[Any, Any]:
    return RuleRow.position, RuleRow.id
