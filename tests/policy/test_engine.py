"""Ordered rules over effects: the first that holds decides, the strictest effect wins."""

from __future__ import annotations

import pytest

from appliance.entities import IdentityKind, PolicyRule
from appliance.policy.engine import Policy
from appliance.policy.rules import Rulebook, contradictions
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action, Verdict
from appliance.sql.facts import Effect, EffectClass, Facts, Name, SettingChange, Statement
from tests.policy.world import identity, machine, rule, snapshot, subject, target

ALLOW, HOLD, BLOCK = Action.ALLOW, Action.HOLD, Action.BLOCK
ORDERS = Name("public", "orders")
CARDS = Name("pay", "cards")


def effect(cls: str, relation: Name | None = None, **changes: object) -> Effect:
    return Effect(EffectClass(cls), relation, **changes)  # type: ignore[arg-type]


def facts(*effects: Effect, kind: str = "SelectStmt", **changes: object) -> Facts:
    made = Statement(kind, effects, "0" * 16, 0, 1, **changes)  # type: ignore[arg-type]
    return Facts((made,))


def decide(
    rules: tuple[PolicyRule, ...],
    what: Facts,
    who: Subject | None = None,
    default_action: str = "allow",
) -> Verdict:
    return Policy(snapshot(rules=rules, default_action=default_action), who or subject()).decide(
        what
    )


SELECT_ORDERS = facts(effect("select", ORDERS))


def test_without_rules_the_default_decides() -> None:
    allowed = decide((), SELECT_ORDERS)
    assert (allowed.action, allowed.rule) == (ALLOW, "default")
    blocked = decide((), SELECT_ORDERS, default_action="block")
    assert (blocked.action, blocked.rule) == (BLOCK, "default")
    assert decide((), SELECT_ORDERS, default_action="approve").action is HOLD


def test_the_targets_default_comes_before_that_of_the_settings() -> None:
    strict = subject(target=target(default_action="block"))
    assert decide((), SELECT_ORDERS, strict).action is BLOCK
    lenient = subject(target=target(default_action="allow"))
    assert decide((), SELECT_ORDERS, lenient, default_action="block").action is ALLOW


def test_a_default_that_is_no_action_blocks() -> None:
    assert decide((), SELECT_ORDERS, default_action="perhaps").action is BLOCK


def test_an_empty_text_is_allowed_whatever_the_rules() -> None:
    rules = (rule("nothing", "block"),)
    assert decide(rules, Facts(()), default_action="block").action is ALLOW


def test_the_first_rule_that_holds_decides() -> None:
    allow = rule("reads", "allow", commands=("select",))
    block = rule("nothing", "block")
    assert decide((allow, block), SELECT_ORDERS).rule == "reads"
    assert decide((block, allow), SELECT_ORDERS).rule == "nothing"


def test_a_disabled_rule_decides_nothing() -> None:
    assert decide((rule("nothing", "block", enabled=False),), SELECT_ORDERS).action is ALLOW


def test_the_strictest_effect_and_statement_wins() -> None:
    rules = (
        rule("hold-writes", "approve", commands=("update",)),
        rule("no-ddl", "block", commands=("ddl",)),
    )
    read, write, ddl = effect("select", ORDERS), effect("update", ORDERS), effect("ddl", ORDERS)
    assert decide(rules, facts(read)).action is ALLOW
    assert decide(rules, facts(read, write)).action is HOLD
    assert decide(rules, facts(write, ddl)).action is BLOCK
    one, two = facts(read).statements[0], facts(write).statements[0]
    script = Facts((one, facts(ddl).statements[0], two))
    verdict = decide(rules, script)
    assert (verdict.action, verdict.rule) == (BLOCK, "no-ddl")
    assert [(d.action, d.rule) for d in verdict.decisions] == [
        (ALLOW, "default"),
        (BLOCK, "no-ddl"),
        (HOLD, "hold-writes"),
    ]


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({"who": ("*",)}, True),
        ({"who": ("identity:ci-nightly",)}, True),
        ({"who": ("kind:ci", "kind:bot")}, True),
        ({"who": ("kind:human",)}, False),
        ({"who": ("group:dba",)}, False),
        ({"targets": ("shop",)}, True),
        ({"targets": ("crm", "*")}, True),
        ({"targets": ("crm",)}, False),
        ({"roles": ("app_rw",)}, True),
        ({"roles": ("*",)}, True),
        ({"roles": ("app_ro",)}, False),
        ({"commands": ("select",)}, True),
        ({"commands": ("SELECT",)}, True),
        ({"commands": ("insert", "select")}, True),
        ({"commands": ("insert",)}, False),
        ({"tables": ("public.orders",)}, True),
        ({"tables": ("pay.cards",)}, False),
        ({"functions": ("now",)}, False),
        ({"columns": ("orders.total",)}, True),
        ({"columns": ("orders.secret",)}, False),
        ({"application_names": ("ps*",)}, True),
        ({"application_names": ("PSQL",)}, False),
        ({"sources": ("127.0.0.0/8",)}, True),
        ({"sources": ("10.0.0.0/8",)}, False),
        ({"without_where": True}, False),
        ({"without_where": False}, False),
        ({"who": ("kind:ci",), "tables": ("orders",), "commands": ("select",)}, True),
        ({"who": ("kind:ci",), "tables": ("orders",), "commands": ("insert",)}, False),
    ],
)
def test_all_conditions_of_a_rule_must_hold(conditions: dict[str, object], holds: bool) -> None:
    what = facts(effect("select", ORDERS, columns=("id", "total")))
    verdict = decide((rule("r", "block", **conditions),), what, subject(machine()))
    assert verdict.action is (BLOCK if holds else ALLOW)


@pytest.mark.parametrize("cls", ["delete", "update"])
def test_without_where_tells_the_two_apart(cls: str) -> None:
    every = rule("r", "block", without_where=True)
    some = rule("r", "block", without_where=False)
    bare = facts(effect(cls, ORDERS, without_where=True))
    careful = facts(effect(cls, ORDERS))
    assert decide((every,), bare).action is BLOCK
    assert decide((every,), careful).action is ALLOW
    assert decide((some,), bare).action is ALLOW
    assert decide((some,), careful).action is BLOCK
    assert decide((every,), facts(effect("truncate", ORDERS))).action is ALLOW


# -- what the default and rules without commands leave alone -----------------------------------

EXEMPT = facts(effect("transaction", default_exempt=True), kind="TransactionStmt")


def test_transaction_control_is_decided_only_by_rules_that_name_it() -> None:
    everything = rule("nothing", "block")
    assert decide((everything,), EXEMPT, default_action="block").action is ALLOW
    named = rule("no-transactions", "block", commands=("transaction",))
    assert decide((everything, named), EXEMPT).rule == "no-transactions"


def test_a_pure_function_is_decided_only_by_rules_that_name_functions() -> None:
    lower = Name("pg_catalog", "lower")
    what = facts(effect("select", function=lower, default_exempt=True))
    assert decide((), what, default_action="block").action is ALLOW
    assert decide((rule("r", "block", commands=("select",)),), what).action is ALLOW
    assert decide((rule("r", "block", functions=("lower",)),), what).action is BLOCK
    assert decide((rule("r", "block", functions=("upper",)),), what).action is ALLOW


def _set(name: str) -> Facts:
    return facts(
        effect("session"), kind="VariableSetStmt", settings=(SettingChange(name, "value"),)
    )


@pytest.mark.parametrize("name", ["application_name", "client_encoding", "datestyle", "timezone"])
def test_what_every_driver_sets_at_connect_locks_nobody_out(name: str) -> None:
    assert decide((rule("nothing", "block"),), _set(name), default_action="block").action is ALLOW
    assert decide((rule("r", "block", commands=("session",)),), _set(name)).action is BLOCK


@pytest.mark.parametrize("name", ["search_path", "statement_timeout", "role", "row_security"])
def test_other_settings_meet_the_default(name: str) -> None:
    assert decide((), _set(name), default_action="block").action is BLOCK


# -- columns -----------------------------------------------------------------------------------


def test_one_allowed_column_does_not_let_another_by() -> None:
    rules = (
        rule("ids", "allow", columns=("customers.id", "customers.name")),
        rule("nothing", "block"),
    )
    table = Name("public", "customers")
    assert decide(rules, facts(effect("select", table, columns=("id",)))).action is ALLOW
    assert decide(rules, facts(effect("select", table, columns=("id", "name")))).action is ALLOW
    assert decide(rules, facts(effect("select", table, columns=("id", "ssn")))).action is BLOCK
    assert decide(rules, facts(effect("select", table, columns=None))).action is BLOCK


def test_a_blocked_column_is_blocked_when_it_may_be_touched() -> None:
    rules = (rule("no-ssn", "block", columns=("customers.ssn",)),)
    table = Name("public", "customers")
    assert decide(rules, facts(effect("select", table, columns=("id",)))).action is ALLOW
    assert decide(rules, facts(effect("select", table, columns=()))).action is ALLOW
    assert decide(rules, facts(effect("select", table, columns=("id", "ssn")))).action is BLOCK
    assert decide(rules, facts(effect("select", table, columns=None))).action is BLOCK
    assert decide(rules, facts(effect("select", ORDERS, columns=None))).action is ALLOW


# -- what cannot be known ----------------------------------------------------------------------

UNKNOWN = facts(effect("unknown"), kind="DoStmt", unknown="the body of DO")


@pytest.mark.parametrize(
    ("rules", "action"),
    [
        ((), ALLOW),
        ((rule("r", "block", commands=("ddl",)),), BLOCK),
        ((rule("r", "approve", commands=("ddl",)),), HOLD),
        ((rule("r", "block", tables=("pay.cards",)),), BLOCK),
        ((rule("r", "block", functions=("pg_sleep",)),), BLOCK),
        ((rule("r", "block", columns=("ssn",)),), BLOCK),
        ((rule("r", "approve", without_where=True),), HOLD),
        ((rule("r", "block", who=("kind:ci",), commands=("ddl",)),), ALLOW),
        ((rule("r", "block", targets=("crm",)),), ALLOW),
        ((rule("a", "allow", commands=("select",)), rule("b", "block")), BLOCK),
        ((rule("a", "allow"), rule("b", "block", commands=("ddl",))), ALLOW),
        ((rule("a", "allow", commands=("unknown",)), rule("b", "block")), ALLOW),
        ((rule("a", "block", commands=("ddl",)), rule("b", "allow")), BLOCK),
        ((rule("a", "approve", commands=("ddl",)), rule("b", "block", tables=("x",))), BLOCK),
        ((rule("r", "block", commands=("unknown",)),), BLOCK),
    ],
)
def test_what_cannot_be_known_takes_the_strictest_that_could_apply(
    rules: tuple[PolicyRule, ...], action: Action
) -> None:
    assert decide(rules, UNKNOWN).action is action


def test_the_default_applies_to_what_cannot_be_known() -> None:
    assert decide((), UNKNOWN, default_action="block").action is BLOCK
    reads = rule("reads", "allow", commands=("select",))
    assert decide((reads,), UNKNOWN, default_action="block").action is BLOCK


def test_a_statement_without_effects_is_unknown_itself() -> None:
    rules = (rule("no-ddl", "block", commands=("ddl",)),)
    assert decide(rules, facts(kind="NewStmt")).action is BLOCK
    forgotten = facts(effect("select", ORDERS), unknown="a new kind of node")
    assert decide(rules, forgotten).action is BLOCK


def test_a_refused_text_is_blocked_whatever_the_rules() -> None:
    refused = Facts((), refusal="the text is not valid UTF-8")
    verdict = decide((rule("all", "allow"),), refused)
    assert (verdict.action, verdict.rule) == (BLOCK, "builtin:readable-text")
    assert verdict.reason == "the text is not valid UTF-8"


def test_what_a_trial_does_not_know_of_the_session_counts_as_possible() -> None:
    who = subject(application_name=None, source=None)
    for conditions in ({"sources": ("10.0.0.0/8",)}, {"application_names": ("etl",)}):
        assert decide((rule("r", "block", **conditions),), SELECT_ORDERS, who).action is BLOCK
        lenient = (rule("a", "allow", **conditions), rule("b", "block"))
        assert decide(lenient, SELECT_ORDERS, who).action is BLOCK


@pytest.mark.parametrize("broken", [{"tables": ("a.b.c.d",)}, {"commands": ("selekt",)}])
def test_a_rule_that_cannot_be_read_never_lets_anything_by(broken: dict[str, object]) -> None:
    assert decide((rule("r", "block", **broken),), SELECT_ORDERS).action is BLOCK
    assert decide((rule("a", "allow", **broken), rule("b", "block")), SELECT_ORDERS).rule == "b"


# -- roles -------------------------------------------------------------------------------------


def test_set_role_slips_by_no_rule_on_roles() -> None:
    acting = subject(role="app_ro", acting_role="app_rw")
    assert decide((rule("r", "block", roles=("app_rw",)),), SELECT_ORDERS, acting).action is BLOCK
    assert decide((rule("r", "block", roles=("app_ro",)),), SELECT_ORDERS, acting).action is BLOCK
    lenient = (rule("a", "allow", roles=("app_ro",)), rule("b", "block"))
    assert decide(lenient, SELECT_ORDERS, acting).action is BLOCK
    assert decide(lenient, SELECT_ORDERS, subject(role="app_ro")).action is ALLOW


# -- speed and sharing -------------------------------------------------------------------------


def test_a_verdict_is_remembered_by_the_very_facts_only() -> None:
    policy = Policy(snapshot(), subject())
    first = policy.decide(SELECT_ORDERS)
    assert policy.decide(SELECT_ORDERS) is first
    assert policy.decide(facts(effect("select", ORDERS))) is not first
    for number in range(1000):
        policy.decide(facts(effect("select", Name("public", f"t{number}"))))
    assert policy.decide(SELECT_ORDERS) == first


def test_one_rulebook_serves_many_sessions() -> None:
    world = snapshot(rules=(rule("r", "block", who=("kind:ci",)),))
    book = Rulebook(world)
    assert Policy(world, subject(), book).decide(SELECT_ORDERS).action is ALLOW
    assert Policy(world, subject(machine()), book).decide(SELECT_ORDERS).action is BLOCK


def test_a_policy_says_whether_it_looks_at_objects() -> None:
    plain = snapshot(rules=(rule("r", "block", commands=("ddl",)),))
    assert not Policy(plain, subject()).depends_on_objects
    on_table = snapshot(rules=(rule("r", "block", who=("kind:ci",), tables=("x",)),))
    assert not Policy(on_table, subject()).depends_on_objects
    assert Policy(on_table, subject(machine())).depends_on_objects


def test_conditions_that_nothing_can_meet_are_found() -> None:
    assert contradictions(rule("r", "block", tables=("a",), functions=("f",)))
    assert contradictions(rule("r", "block", commands=("ddl",), without_where=True))
    assert not contradictions(rule("r", "block", commands=("delete",), without_where=True))
    assert not contradictions(rule("r", "block", without_where=True))


def test_an_agent_is_a_machine() -> None:
    agent = subject(identity("bot-7", kind=IdentityKind.AGENT))
    rules = (rule("r", "block", who=("kind:agent",)),)
    assert decide(rules, SELECT_ORDERS, agent).action is BLOCK
