"""Suggestions made into rules: one for each kind of data and method on a target. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from appliance.entities import MaskingRule
from appliance.masking.sensitive import Kind
from appliance.masking.values import Method

MOST_COLUMNS = 200  # of one rule
# What the rule for a kind is called.
RULE_NAMES = {
    Kind.CARD: "card-numbers",
    Kind.EMAIL: "email-addresses",
    Kind.PHONE: "phone-numbers",
    Kind.IBAN: "bank-accounts",
    Kind.NATIONAL_ID: "national-ids",
    Kind.BIRTH: "dates-of-birth",
    Kind.NAME: "names-of-people",
    Kind.ADDRESS: "postal-addresses",
    Kind.SECRET: "secrets",
    Kind.IP: "ip-addresses",
}


@dataclass(frozen=True, slots=True)
class Pick:
    """A suggestion that somebody accepts. ``column``: as a rule's pattern names it."""

    kind: Kind
    method: Method
    column: str


def accepted(
    picks: Iterable[Pick], target: str, exempt: tuple[str, ...], rules: Sequence[MaskingRule]
) -> list[MaskingRule]:
    """Return the rules to be stored: new ones, and those that get more columns.

    A column joins the rule for its kind on that target where method and exemptions are the same
    and it is on; else a new rule is made. ``rules``: all that there are, in order.
    """
    names = {rule.name for rule in rules}
    known = [rule for rule in rules if rule.target == target]
    changed: dict[str, MaskingRule] = {}
    for pick in picks:
        own = [changed.get(rule.name, rule) for rule in known]
        own += [rule for name, rule in changed.items() if name not in names]
        rule = next((rule for rule in own if _suits(rule, pick, exempt)), None)
        if rule is None:
            taken = names | changed.keys()
            rule = MaskingRule(0, _name(pick, target, taken), target, (), pick.method, None)
            rule = replace(rule, exempt=exempt)
        if pick.column not in rule.columns:
            changed[rule.name] = replace(rule, columns=(*rule.columns, pick.column))
    return list(changed.values())


def _suits(rule: MaskingRule, pick: Pick, exempt: tuple[str, ...]) -> bool:
    base = RULE_NAMES[pick.kind]
    return (
        base in rule.name
        and rule.enabled
        and rule.method is pick.method
        and rule.value is None
        and set(rule.exempt) == set(exempt)
        and (pick.column in rule.columns or len(rule.columns) < MOST_COLUMNS)
    )


def _name(pick: Pick, target: str, taken: Iterable[str]) -> str:
    base = RULE_NAMES[pick.kind]
    numbers = (f"{target}-{base}-{number}" for number in range(2, 10_000))
    names = frozenset(taken)
    return next(name for name in (base, f"{target}-{base}", *numbers) if name not in names)
