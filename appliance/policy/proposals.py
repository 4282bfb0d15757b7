"""Whether a target is only observed, and the first rules to propose for it."""

from __future__ import annotations

from dataclasses import replace

from appliance.entities import PolicyRule, Snapshot

MACHINES = ("kind:service", "kind:ci", "kind:bot", "kind:agent")


def is_observing(snapshot: Snapshot, target: str) -> bool:
    """Return whether nothing but the built-in rules can stop a statement on this target."""
    found = snapshot.targets.get(target)
    default = (found.default_action if found else None) or snapshot.settings.default_action
    return default == "allow" and not any(
        rule.enabled and rule.action != "allow" and _concerns(rule, target)
        for rule in snapshot.rules
    )


def proposals(snapshot: Snapshot, target: str) -> list[PolicyRule]:
    """Return the rules to propose while a target is observed, under names that are free."""
    if not is_observing(snapshot, target):
        return []
    taken = {rule.name for rule in snapshot.rules}
    return [_named(rule, taken) for rule in _first_rules(target)]


def _concerns(rule: PolicyRule, target: str) -> bool:
    return not rule.targets or target in rule.targets or "*" in rule.targets


def _named(rule: PolicyRule, taken: set[str]) -> PolicyRule:
    names = (rule.name, *(f"{rule.name}-{number}" for number in range(2, len(taken) + 3)))
    return replace(rule, name=next(name for name in names if name not in taken))


def _first_rules(target: str) -> tuple[PolicyRule, ...]:
    return (
        PolicyRule(
            name="no-ddl-from-machines",
            action="block",
            who=MACHINES,
            targets=(target,),
            commands=("ddl", "dcl"),
            message="schema changes go through the migration pipeline",
        ),
        PolicyRule(
            name="bulk-writes-need-a-human",
            action="approve",
            targets=(target,),
            commands=("delete", "update"),
            without_where=True,
            message="a write to every row needs a second pair of eyes",
        ),
        PolicyRule(
            name="agents-only-read",
            action="block",
            who=("kind:agent",),
            targets=(target,),
            commands=(
                "insert",
                "update",
                "delete",
                "merge",
                "truncate",
                "copy_in",
                "copy_program",
                "call",
                "do",
                "lock",
                "unknown",
            ),
            message="AI agents may read here, and not write",
        ),
    )
