"""The terms of a hold: of all the rules that hold it, the narrowest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.approvals.terms import Terms, terms_of
from appliance.entities import PolicyRule
from appliance.policy.verdict import Action, EffectDecision, Verdict
from appliance.sql.facts import Effect, EffectClass
from tests.policy.world import rule, snapshot

RULES = (
    rule("plain", "approve"),
    rule("dba", "approve", approvers="group:dba", timeout_s=300, owner_may_approve=True),
    rule("dba-too", "approve", approvers="group:dba", timeout_s=900, retry_s=600),
    rule("bo", "approve", approvers="identity:bo", retry_s=1200, owner_may_approve=True),
    rule("fine", "allow", timeout_s=1),
)


def held(*names: str, allowed: tuple[str, ...] = ()) -> Verdict:
    effect = Effect(EffectClass.DELETE)
    decisions = [EffectDecision(effect, Action.HOLD, name) for name in names]
    decisions += [EffectDecision(effect, Action.ALLOW, name) for name in allowed]
    return Verdict(Action.HOLD, names[0], "because", decisions=tuple(decisions))


def terms(*names: str, rules: tuple[PolicyRule, ...] = RULES, **more: tuple[str, ...]) -> Terms:
    return terms_of(snapshot(rules=rules), held(*names, **more))


ROLE = "role:approver"
TABLE = [
    (("plain",), Terms((ROLE,), False, 600, None)),
    (("default",), Terms((ROLE,), False, 600, None)),
    (("gone",), Terms((ROLE,), False, 600, None)),
    (("dba",), Terms(("group:dba",), True, 300, None)),
    (("dba-too",), Terms(("group:dba",), False, 900, 600)),
    (("dba", "dba-too"), Terms(("group:dba",), False, 300, None)),
    (("dba-too", "bo"), Terms(("group:dba", "identity:bo"), False, 600, 600)),
    (("bo", "dba", "bo"), Terms(("identity:bo", "group:dba"), True, 300, None)),
    (("bo", "default"), Terms(("identity:bo", ROLE), False, 600, None)),
]


@pytest.mark.parametrize(("names", "expected"), TABLE)
def test_all_that_hold_it_count(names: tuple[str, ...], expected: Terms) -> None:
    assert terms(*names) == expected


def test_rules_that_allow_have_no_say() -> None:
    assert terms("dba", allowed=("fine",)) == terms("dba")


def test_a_verdict_without_its_effects_goes_by_its_rule() -> None:
    verdict = replace(held("dba-too"), decisions=())
    assert terms_of(snapshot(rules=RULES), verdict) == terms("dba-too")
