"""On which terms a statement is held: those of every rule that holds it, the narrowest (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.approvals.eligible import BY_ROLE
from appliance.entities import PolicyRule, Snapshot
from appliance.policy.verdict import Action, Verdict


@dataclass(frozen=True, slots=True)
class Terms:
    """``approvers``: one word for each rule, without doubles; ``retry_s`` None = held live."""

    approvers: tuple[str, ...]
    owner_may_approve: bool
    timeout_s: int
    retry_s: int | None


def terms_of(snapshot: Snapshot, verdict: Verdict) -> Terms:
    """Return the terms of a verdict that holds.

    Who decides must fit every rule's word; the shortest timeout counts; it is a matter of trying
    again only if all the rules say so, and the owner's only if all do.
    """
    by_name = {rule.name: rule for rule in snapshot.rules}
    names = dict.fromkeys(one.rule for one in verdict.decisions if one.action is Action.HOLD) or {
        verdict.rule: None
    }
    # "default", and a rule that is gone by now: the strict word, no owner, no second try
    rules: list[PolicyRule | None] = [by_name.get(name) for name in names]
    default = snapshot.settings.hold_timeout_s
    retries = [rule.retry_s if rule else None for rule in rules]
    known = [retry for retry in retries if retry is not None]
    return Terms(
        approvers=tuple(
            dict.fromkeys((rule.approvers if rule else None) or BY_ROLE for rule in rules)
        ),
        owner_may_approve=all(rule is not None and rule.owner_may_approve for rule in rules),
        timeout_s=min((rule.timeout_s if rule else None) or default for rule in rules),
        retry_s=min(known) if known and len(known) == len(retries) else None,
    )
