"""Rules that ask for many rows: when they hold, what is said, which limits matter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.entities import PolicyRule
from appliance.policy.engine import Policy
from appliance.policy.rules import contradictions
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action, Verdict
from appliance.sql.facts import Effect, EffectClass, Facts, Name, Statement
from tests.policy.test_engine_properties import ANY_EFFECT, DEFAULTS, RULES, SUBJECTS
from tests.policy.world import rule, snapshot, subject

ALLOW, HOLD, BLOCK = Action.ALLOW, Action.HOLD, Action.BLOCK
ORDERS = Name("public", "orders")
UPDATE = Effect(EffectClass.UPDATE, ORDERS)
CAREFUL = rule("careful", "approve", commands=("update", "delete"), rows_over=1000)
NEVER = rule("never", "block", commands=("update",), rows_over=100_000)
KINDS = ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CopyStmt")


def one(*effects: Effect, kind: str = "UpdateStmt", **changes: object) -> Facts:
    return Facts((Statement(kind, effects, "0" * 16, 0, 1, **changes),))  # type: ignore[arg-type]


def policy(*rules: PolicyRule, default: str = "allow") -> Policy:
    return Policy(snapshot(rules=rules, default_action=default), subject())


def decide(facts: Facts, rows: int | None, *rules: PolicyRule) -> Verdict:
    return policy(*rules).decide(facts, rows)


@pytest.mark.parametrize(
    ("rows", "action"),
    [(0, ALLOW), (1000, ALLOW), (1001, HOLD), (100_001, BLOCK), (None, BLOCK)],
)
def test_a_rule_holds_where_it_would_touch_more_rows(rows: int | None, action: Action) -> None:
    assert decide(one(UPDATE), rows, CAREFUL, NEVER).action is action
    assert decide(one(UPDATE), rows, NEVER, CAREFUL).action is action


def test_the_reason_says_how_many_rows() -> None:
    verdict = decide(one(UPDATE), 5000, CAREFUL)
    assert verdict.rule == "careful"
    assert verdict.reason == "update on public.orders would touch 5,000 rows (limit 1,000)"
    verdict = decide(one(UPDATE), 1, rule("r", "block", rows_over=0, message="ask the dba"))
    assert verdict.reason == "ask the dba (would touch 1 row (limit 0))"


def test_rows_that_are_not_known_count_as_over_and_it_says_why() -> None:
    verdict = policy(CAREFUL).decide(one(UPDATE), None, "f() is not a built-in function")
    assert verdict.action is HOLD
    assert verdict.reason == (
        "update on public.orders could touch any number of rows (limit 1,000): "
        "f() is not a built-in function"
    )


@pytest.mark.parametrize(
    "facts",
    [
        Facts(one(UPDATE).statements * 2),
        one(UPDATE, kind="ExplainStmt"),
        one(UPDATE, kind="PrepareStmt"),
        one(UPDATE, kind="ExecuteStmt", executes="p"),
        one(UPDATE, Effect(EffectClass.SELECT), kind="SelectStmt"),
        one(UPDATE, Effect(EffectClass.UPDATE, Name("public", "items"))),
        one(UPDATE, Effect(EffectClass.DELETE, ORDERS)),
    ],
    ids=("script", "explain", "prepare", "execute", "cte", "two tables", "two classes"),
)
def test_what_no_tag_will_count_is_over_at_once(facts: Facts) -> None:
    assert policy(CAREFUL).decide(facts).action is HOLD
    assert policy(CAREFUL).row_limits(facts) == ()


def test_what_is_unknown_is_over_because_it_is_unknown_and_says_so() -> None:
    verdict = policy(CAREFUL).decide(one(UPDATE, unknown="who knows"))
    assert verdict.action is HOLD
    assert verdict.reason == "it cannot be known what this would do: who knows"
    shown = [(made.effect.cls.value, made.action) for made in verdict.decisions]
    assert shown == [("update", ALLOW), ("unknown", HOLD)]
    assert policy(CAREFUL).row_limits(one(UPDATE, unknown="who knows")) == ()


def test_copy_and_truncate_count_as_over_where_a_rule_is_about_everything() -> None:
    anything = rule("r", "approve", rows_over=1000)
    for cls, kind in (("copy_in", "CopyStmt"), ("copy_out", "CopyStmt"), ("truncate", "X")):
        facts = one(Effect(EffectClass(cls), ORDERS), kind=kind)
        assert decide(facts, 0, anything).action is HOLD
    inserts = rule("r", "approve", commands=("insert",), rows_over=1000)
    copied = one(Effect(EffectClass.INSERT, ORDERS), Effect(EffectClass.COPY_IN), kind="CopyStmt")
    assert decide(copied, 0, inserts).action is HOLD


def test_what_has_no_rows_is_none_of_its_business() -> None:
    anything = rule("r", "block", rows_over=0)
    for cls in ("ddl", "session", "transaction", "explain", "listen"):
        assert decide(one(Effect(EffectClass(cls)), kind="X"), 0, anything).action is ALLOW


def test_the_limits_are_those_that_change_the_verdict() -> None:
    assert policy(CAREFUL, NEVER).row_limits(one(UPDATE)) == (1000, 100_000)
    assert policy().row_limits(one(UPDATE)) == ()
    assert policy(CAREFUL).row_limits(one(Effect(EffectClass.SELECT), kind="SelectStmt")) == ()
    elsewhere = rule("r", "block", tables=("pay.*",), rows_over=5)
    assert policy(elsewhere, CAREFUL).row_limits(one(UPDATE)) == (1000,)
    assert policy(rule("no", "block"), CAREFUL).row_limits(one(UPDATE)) == ()


def test_each_rule_that_holds_counts_for_each_wants_its_own_approvers() -> None:
    more = rule("more", "approve", rows_over=2000, approvers="group:dba")
    both = policy(CAREFUL, more)
    assert both.row_limits(one(UPDATE)) == (1000, 2000)
    verdict = both.decide(one(UPDATE), 5000)
    assert [(d.action, d.rule) for d in verdict.decisions] == [(HOLD, "careful"), (HOLD, "more")]
    assert [d.rule for d in both.decide(one(UPDATE), 1500).decisions] == ["careful"]


def test_functions_in_it_do_not_make_it_uncountable() -> None:
    called = Effect(EffectClass.UPDATE, function=Name("pg_catalog", "lower"), default_exempt=True)
    assert policy(CAREFUL).row_limits(one(UPDATE, called)) == (1000,)


def test_an_earlier_rule_that_allows_ends_it() -> None:
    free = rule("free", "allow", commands=("update",))
    assert policy(free, CAREFUL).row_limits(one(UPDATE)) == ()
    assert decide(one(UPDATE), None, free, CAREFUL).action is ALLOW


def test_a_rule_on_rows_does_not_soften_those_behind_it() -> None:
    assert decide(one(UPDATE), 5000, CAREFUL, rule("no", "block")).action is BLOCK
    more = rule("more", "allow", rows_over=1000)
    assert decide(one(UPDATE), 5000, more, rule("no", "block")).action is BLOCK


def test_what_cannot_be_meant_is_said() -> None:
    assert contradictions(rule("r", "allow", rows_over=5))
    assert contradictions(rule("r", "block", commands=("ddl", "update"), rows_over=5))
    assert not contradictions(rule("r", "block", commands=("select", "merge"), rows_over=5))
    assert not contradictions(rule("r", "block", rows_over=0))


LIMITED = st.builds(
    lambda made, limit: PolicyRule(
        **{f: getattr(made, f) for f in made.__dataclass_fields__ if f != "rows_over"},
        rows_over=limit,
    ),
    RULES,
    st.sampled_from([None, 0, 10, 1000]),
)
ROWS = st.sampled_from([0, 1, 10, 11, 1000, 1001, None])


@given(
    st.lists(LIMITED, max_size=5).map(tuple),
    DEFAULTS,
    SUBJECTS,
    st.lists(ANY_EFFECT, min_size=1, max_size=2).map(tuple),
    st.sampled_from(KINDS),
    ROWS,
    ROWS,
)
def test_more_rows_never_make_a_verdict_more_lenient(
    rules: tuple[PolicyRule, ...],
    default: str,
    who: Subject,
    effects: tuple[Effect, ...],
    kind: str,
    some: int | None,
    other: int | None,
) -> None:
    made = Policy(snapshot(rules=rules, default_action=default), who)
    facts = one(*effects, kind=kind)
    few, many = sorted((some, other), key=lambda rows: (rows is None, rows or 0))
    before, after = made.decide(facts, few).action, made.decide(facts, many).action
    assert after.strictness >= before.strictness
    if few is not None and many is not None:
        crossed = any(few <= limit < many for limit in made.row_limits(facts))
        assert crossed or after is before
