"""What must hold for every policy: a stricter rule never opens anything, unknown is strictest."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.entities import PolicyRule
from appliance.policy.engine import Policy
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action
from appliance.sql.facts import Effect, EffectClass, Facts, Name, Statement
from tests.policy.world import machine, snapshot, subject

# copy_program is left out: a built-in rule blocks it before these rules are asked.
CLASSES = [cls for cls in EffectClass if cls not in (EffectClass.UNKNOWN, EffectClass.COPY_PROGRAM)]
COLUMNS = ["id", "ssn", "total"]
RELATIONS = [Name(schema, name) for schema in ("public", "pay") for name in ("orders", "cards")]
RELATIONS += [Name(None, "orders"), Name("pg_temp_3", "cards")]
FUNCTIONS = [Name("pg_catalog", "pg_sleep"), Name("public", "f"), Name(None, "f")]


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.one_of(st.just(()), st.lists(st.sampled_from(values), min_size=1, max_size=2)).map(
        tuple
    )


RULES = st.builds(
    PolicyRule,
    name=st.sampled_from(["a", "b", "c", "d"]),
    action=st.sampled_from(["allow", "block", "approve"]),
    who=st.sampled_from([("*",), ("kind:ci",), ("kind:human",)]),
    targets=some("shop", "crm"),
    roles=some("app_rw", "app_ro"),
    commands=some(*(cls.value for cls in CLASSES)),
    tables=some("public.*", "cards", "pay.orders", "*", "pg_temp.cards"),
    columns=some("ssn", "orders.id", "pay.*.total"),
    functions=some("pg_sleep", "public.*", "*"),
    application_names=some("ps*", "etl"),
    sources=some("127.0.0.0/8", "10.0.0.0/8"),
    without_where=st.sampled_from([None, None, True, False]),
)
EFFECTS = st.builds(
    Effect,
    cls=st.sampled_from(CLASSES),
    relation=st.one_of(st.none(), st.sampled_from(RELATIONS)),
    columns=st.one_of(st.none(), st.lists(st.sampled_from(COLUMNS), unique=True).map(tuple)),
    without_where=st.booleans(),
)
FUNCTION_EFFECTS = st.builds(
    Effect, cls=st.sampled_from(CLASSES), function=st.sampled_from(FUNCTIONS)
)
ANY_EFFECT = st.one_of(EFFECTS, FUNCTION_EFFECTS)
SUBJECTS = st.sampled_from([subject(), subject(machine()), subject(machine(), role="app_ro")])
ORDERED = st.lists(RULES, max_size=6).map(tuple)
DEFAULTS = st.sampled_from(["allow", "block", "approve"])


def action(rules: tuple[PolicyRule, ...], default: str, who: Subject, *effects: Effect) -> Action:
    policy = Policy(snapshot(rules=rules, default_action=default), who)
    return policy.decide(Facts((Statement("SelectStmt", effects, "0", 0, 1),))).action


@given(ORDERED, RULES, st.integers(0, 6), DEFAULTS, SUBJECTS, ANY_EFFECT)
def test_a_block_rule_more_never_makes_anything_more_lenient(
    rules: tuple[PolicyRule, ...],
    more: PolicyRule,
    at: int,
    default: str,
    who: Subject,
    effect: Effect,
) -> None:
    block = replace(more, action="block")
    before = action(rules, default, who, effect)
    after = action((*rules[:at], block, *rules[at:]), default, who, effect)
    assert after.strictness >= before.strictness


@given(ORDERED, RULES, DEFAULTS, SUBJECTS, ANY_EFFECT)
def test_an_approve_rule_in_front_turns_no_block_of_another_effect_into_less(
    rules: tuple[PolicyRule, ...], more: PolicyRule, default: str, who: Subject, effect: Effect
) -> None:
    """First match decides: an earlier rule may soften a later one only where it surely holds."""
    first = replace(more, action="approve")
    before = action(rules, default, who, effect)
    after = action((first, *rules), default, who, effect)
    if after.strictness < before.strictness:
        assert after is Action.HOLD
        assert action((first,), "allow", who, effect) is Action.HOLD


@given(ORDERED, DEFAULTS, SUBJECTS, ANY_EFFECT)
def test_what_cannot_be_known_is_never_treated_more_leniently_than_what_it_may_be(
    rules: tuple[PolicyRule, ...], default: str, who: Subject, effect: Effect
) -> None:
    unknown = action(rules, default, who, Effect(EffectClass.UNKNOWN))
    assert unknown.strictness >= action(rules, default, who, effect).strictness


@given(ORDERED, DEFAULTS, SUBJECTS, EFFECTS)
def test_columns_that_could_be_any_are_never_treated_more_leniently_than_some(
    rules: tuple[PolicyRule, ...], default: str, who: Subject, effect: Effect
) -> None:
    any_of_them = action(rules, default, who, replace(effect, columns=None))
    assert any_of_them.strictness >= action(rules, default, who, effect).strictness


@given(ORDERED, DEFAULTS, SUBJECTS, EFFECTS, st.sampled_from(["public", "pay", "app"]))
def test_a_name_that_could_not_be_resolved_is_treated_as_any_that_it_may_be(
    rules: tuple[PolicyRule, ...], default: str, who: Subject, effect: Effect, schema: str
) -> None:
    bare = action(rules, default, who, replace(effect, relation=Name(None, "cards")))
    found = action(rules, default, who, replace(effect, relation=Name(schema, "cards")))
    assert bare.strictness >= found.strictness


@given(ORDERED, DEFAULTS, SUBJECTS, ANY_EFFECT, ANY_EFFECT)
def test_more_effects_are_never_more_lenient_and_their_order_does_not_matter(
    rules: tuple[PolicyRule, ...], default: str, who: Subject, one: Effect, two: Effect
) -> None:
    both = action(rules, default, who, one, two)
    assert both is action(rules, default, who, two, one)
    strictest = max(
        action(rules, default, who, one), action(rules, default, who, two), key=_strictness
    )
    assert both is strictest


@given(ORDERED, RULES, DEFAULTS, SUBJECTS, ANY_EFFECT)
def test_a_rule_behind_one_that_surely_holds_changes_nothing(
    rules: tuple[PolicyRule, ...], last: PolicyRule, default: str, who: Subject, effect: Effect
) -> None:
    catch_all = PolicyRule("all", "block")
    before = action((*rules, catch_all), default, who, effect)
    assert action((*rules, catch_all, last), default, who, effect) is before


def _strictness(found: Action) -> int:
    return found.strictness
