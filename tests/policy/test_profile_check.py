"""An enforced statement profile: what its owner did not sign is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.entities import PolicyRule, ProfileMode
from appliance.policy.engine import Policy
from appliance.policy.rules import Rulebook
from appliance.policy.verdict import Action, Verdict
from appliance.policy.wording import refusal_text
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Effect, EffectClass, Facts, Name, NameContext, Statement
from appliance.sql.parser import Parser
from appliance.sql.resolve import resolve, setting_facts
from tests.policy.world import machine, rule, snapshot, subject

CI = replace(
    machine(), profile=ProfileMode.ENFORCE, owner="ana@example.com", backup_owner="bo@example.com"
)
ALLOW, HOLD, BLOCK = Action.ALLOW, Action.HOLD, Action.BLOCK
SELECT = Effect(EffectClass.SELECT, Name("public", "orders"))
SIGNED, OTHER = "a" * 16, "b" * 16
CATALOG = Catalog.from_json(b'{"version": 180000, "schemas": ["public"]}')
NAMES = NameContext(("pg_catalog", "public"), "app_rw", frozenset())


def statement(mark: str, *effects: Effect, **changes: object) -> Statement:
    return Statement("SelectStmt", effects or (SELECT,), mark, 0, 1, **changes)  # type: ignore[arg-type]


def policy(*rules: PolicyRule, signed: frozenset[str] | None = frozenset({SIGNED})) -> Policy:
    world = snapshot((CI,), rules=rules)
    profiles = {} if signed is None else {CI.name: signed}
    return Policy(replace(world, profiles=profiles), subject(CI))


def decide(*statements: Statement) -> Verdict:
    return policy().decide(Facts(statements))


def test_a_signed_statement_runs_and_another_is_refused() -> None:
    assert decide(statement(SIGNED)).action is ALLOW
    verdict = decide(statement(OTHER))
    assert (verdict.action, verdict.rule) == (BLOCK, "profile")
    assert refusal_text(verdict) == (
        "gatepost: blocked by its statement profile: not signed for ci-nightly",
        "ana@example.com or bo@example.com can sign it, under Approvals.",
    )
    assert [(d.action, d.rule) for d in verdict.decisions] == [(BLOCK, "profile")]


def test_a_refusal_points_to_the_profiles_page() -> None:
    world = replace(snapshot((CI,)), profiles={})
    book = Rulebook(world, pages="https://gate.example.com")
    verdict = Policy(world, subject(CI), book).decide(Facts((statement(OTHER),)))
    assert verdict.hint == (
        "ana@example.com or bo@example.com can sign it, under Approvals:\n"
        "https://gate.example.com/identities/ci-nightly/profile"
    )


def test_one_unsigned_statement_refuses_a_whole_script() -> None:
    verdict = decide(statement(SIGNED), statement(OTHER))
    assert (verdict.action, verdict.rule) == (BLOCK, "profile")
    assert [d.rule for d in verdict.decisions] == ["default", "profile"]


def test_without_a_profile_everything_is_refused() -> None:
    assert policy(signed=None).decide(Facts((statement(SIGNED),))).rule == "profile"


@pytest.mark.parametrize("mode", [ProfileMode.OFF, ProfileMode.LEARN])
def test_a_profile_that_is_not_enforced_refuses_nothing(mode: ProfileMode) -> None:
    world = replace(snapshot((CI,)), profiles={CI.name: frozenset[str]()})
    who = subject(replace(CI, profile=mode))
    assert Policy(world, who).decide(Facts((statement(OTHER),))).action is ALLOW


def test_the_rules_hold_for_signed_statements_too_and_name_themselves() -> None:
    held = policy(rule("careful", "approve"))
    assert held.decide(Facts((statement(SIGNED),))).action is HOLD
    assert held.decide(Facts((statement(OTHER),))).rule == "profile"
    blocked = policy(rule("never", "block"))
    assert blocked.decide(Facts((statement(OTHER),))).rule == "never"


@pytest.mark.parametrize(
    ("text", "exempt"),
    [
        ("BEGIN", True),
        ("COMMIT", True),
        ("ROLLBACK TO a", True),
        ("SHOW work_mem", True),
        ("RESET ALL", True),
        ("DEALLOCATE ALL", True),
        ("FETCH 10 FROM c", True),
        ("CLOSE c", True),
        ("SET application_name = 'x'", True),
        ("SET datestyle = 'iso'", True),
        ("", True),
        ("SET work_mem = '1GB'", False),
        ("SET search_path = x", False),
        ("SET application_name = 'x'; SELECT 1", False),
        ("SELECT 1", False),
        ("SELECT now()", False),
        ("SELECT version()", False),
        ("DROP TABLE orders", False),
        ("VACUUM", False),
        ("LISTEN a", False),
        ("SELEC 1", False),
        ("DECLARE c CURSOR FOR SELECT 1", False),
    ],
)
def test_what_moves_no_data_need_not_be_signed(text: str, exempt: bool) -> None:
    verdict = policy().decide(resolve(Parser().parse(text), CATALOG, NAMES))
    assert verdict.is_allow is exempt
    assert exempt or verdict.rule == "profile"


@pytest.mark.parametrize(
    ("name", "exempt"), [("DateStyle", True), ("extra_float_digits", True), ("search_path", False)]
)
def test_what_drivers_send_at_start_up_need_not_be_signed(name: str, exempt: bool) -> None:
    assert policy().decide(setting_facts(name, "x")).is_allow is exempt


def test_execute_is_judged_by_what_was_prepared() -> None:
    parser = Parser()
    kept = resolve(parser.parse("PREPARE p AS SELECT 1"), CATALOG, NAMES)
    other = resolve(parser.parse("PREPARE p AS SELECT now()"), CATALOG, NAMES)

    def run(prepared: Facts) -> Facts:
        return resolve(parser.parse("EXECUTE p"), CATALOG, replace(NAMES, prepared={"p": prepared}))

    signed = frozenset({run(kept).statements[0].fingerprint})
    made = policy(signed=signed)
    assert made.decide(run(kept)).action is ALLOW
    assert made.decide(run(other)).rule == "profile"


def test_names_matter_to_a_profile() -> None:
    assert policy().depends_on_objects
