"""What people read: refusals, sentences, proposals."""

from __future__ import annotations

import pytest

from appliance.entities import PolicyRule
from appliance.policy.engine import Policy
from appliance.policy.proposals import MACHINES, is_observing, proposals
from appliance.policy.sentences import plain_sentence, sentence
from appliance.policy.wording import refusal_text
from appliance.sql.facts import Effect, EffectClass, Facts, Name, Statement
from tests.policy.world import rule, snapshot, subject, target


def refusal(
    rules: tuple[PolicyRule, ...], effect: Effect, default: str = "allow", **statement: object
) -> tuple[str, str]:
    made = Statement("X", (effect,), "0", 0, 1, **statement)  # type: ignore[arg-type]
    policy = Policy(snapshot(rules=rules, default_action=default), subject())
    return refusal_text(policy.decide(Facts((made,))))


DELETE = Effect(EffectClass.DELETE, Name("public", "orders"), without_where=True, via="public.v")


@pytest.mark.parametrize(
    ("rules", "default", "message", "hint"),
    [
        (
            (rule("no-ddl", "block", message="schema changes go through the pipeline"),),
            "allow",
            'gatepost: blocked by rule "no-ddl": schema changes go through the pipeline',
            'Ask an admin of Gatepost about rule "no-ddl".',
        ),
        (
            (rule("no-deletes", "block"),),
            "allow",
            'gatepost: blocked by rule "no-deletes": delete on public.orders without WHERE '
            "(through public.v) is not allowed",
            'Ask an admin of Gatepost about rule "no-deletes".',
        ),
        (
            (rule("careful", "approve", message="a second pair of eyes"),),
            "allow",
            'gatepost: would be held by rule "careful": a second pair of eyes',
            "It waits for an approval by an approver.",
        ),
        (
            (),
            "block",
            "gatepost: blocked by default_action: delete on public.orders without WHERE "
            "(through public.v) is not allowed",
            "Ask an admin of Gatepost for a rule that allows delete on public.orders (shop).",
        ),
    ],
)
def test_a_refusal_names_the_rule_and_how_to_ask(
    rules: tuple[PolicyRule, ...], default: str, message: str, hint: str
) -> None:
    assert refusal(rules, DELETE, default) == (message, hint)


def test_a_built_in_rule_says_how_it_is_switched_off() -> None:
    flags = {"flags": frozenset({"set_role"}), "flag_details": (("set_role", "postgres"),)}
    message, hint = refusal((), Effect(EffectClass.ROLE), **flags)  # type: ignore[arg-type]
    assert message == (
        "gatepost: blocked by built-in rule set-role: SET ROLE and SET SESSION AUTHORIZATION "
        "beyond the granted roles: postgres"
    )
    assert hint == "An admin can allow it on the grant: allow_builtin: [set-role]"


def test_what_cannot_be_known_says_why() -> None:
    unknown = Effect(EffectClass.UNKNOWN)
    rules = (rule("r", "block", message="no schema changes"),)
    message, hint = refusal(rules, unknown, unknown="the body of DO is code")
    assert message == (
        'gatepost: blocked by rule "r": it cannot be known what this would do: '
        "the body of DO is code"
    )
    assert hint == 'Ask an admin of Gatepost about rule "r".'


def test_a_refused_text_says_its_reason() -> None:
    verdict = Policy(snapshot(), subject()).decide(Facts((), refusal="NUL in the text"))
    assert refusal_text(verdict)[0] == (
        "gatepost: blocked by built-in rule readable-text: NUL in the text"
    )


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"approvers": "group:dba"}, "It waits for an approval by group dba."),
        (
            {"approvers": "identity:bo@example.com", "owner_may_approve": True},
            "It waits for an approval by bo@example.com or the owner.",
        ),
        (
            {"retry_s": 900},
            "It is refused at once, and passes once within 15 min after an approver approved it.",
        ),
        ({"retry_s": 3601}, "It is refused at once, and passes once within 3601 s after"),
    ],
)
def test_a_hold_says_on_whom_it_waits(changes: dict[str, object], hint: str) -> None:
    assert refusal((rule("r", "approve", **changes),), DELETE)[1].startswith(hint)


def test_the_default_can_hold_too() -> None:
    message, hint = refusal((), DELETE, "approve")
    assert message.startswith("gatepost: would be held by default_action: delete on")
    assert hint == "It waits for an approval by an approver."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"who": MACHINES, "commands": ("ddl", "dcl")},
            "Machines may not run ddl, dcl on any target → block",
        ),
        ({}, "Everyone may not run anything on any target → block"),
        (
            {"who": ("kind:human", "group:dba"), "targets": ("shop", "crm")},
            "People and group dba may not run anything on shop, crm → block",
        ),
        (
            {"who": ("group:dba", "identity:bo"), "action": "allow", "tables": ("pay.*",)},
            "Group dba and bo may run anything touching pay.* on any target → allow",
        ),
        (
            {"who": ("identity:machines-r-us",), "roles": ("app_rw",)},
            "machines-r-us may not run anything on any target as app_rw → block",
        ),
        (
            {
                "who": ("kind:agent",),
                "action": "approve",
                "commands": ("delete",),
                "without_where": True,
                "sources": ("10.0.0.0/8",),
                "application_names": ("ci-*",),
                "approvers": "group:dba",
            },
            "AI agents need a human for delete without WHERE on any target "
            "from 10.0.0.0/8 with application ci-*, approved by group dba → approve",
        ),
        (
            {
                "action": "approve",
                "commands": ("update", "delete"),
                "targets": ("shop",),
                "rows_over": 1000,
                "hours": "Mon-Fri 08:00-18:00 Europe/Oslo",
                "owner_may_approve": True,
            },
            "Everyone needs a human for update, delete of more than 1,000 rows on shop "
            "during Mon-Fri 08:00-18:00 Europe/Oslo, approved by any approver or its owner "
            "→ approve",
        ),
        (
            {"who": ("group:dba",), "action": "approve", "rows_over": 1, "approvers": "group:ops"},
            "Group dba needs a human for anything of more than 1 row on any target, "
            "approved by group ops → approve",
        ),
        (
            {"columns": ("public.customers.ssn",)},
            "Everyone may not run anything in column public.customers.ssn on any target → block",
        ),
        (
            {"functions": ("pg_sleep",), "without_where": False},
            "Everyone may not run anything with a WHERE through function pg_sleep on any target "
            "→ block",
        ),
    ],
)
def test_a_rule_reads_as_a_sentence(changes: dict[str, object], words: str) -> None:
    made = rule("r", str(changes.pop("action", "block")), **changes)
    assert plain_sentence(made) == words


def test_the_names_of_a_sentence_are_bold() -> None:
    made = rule("r", "block", who=MACHINES, commands=("ddl", "dcl"))
    assert sentence(made) == [
        ("Machines", True),
        (" may not run ", False),
        ("ddl, dcl", True),
        (" on ", False),
        ("any target", True),
        (" → block", False),
    ]


@pytest.mark.parametrize(
    ("rules", "default", "observing"),
    [
        ((), "allow", True),
        ((), "block", False),
        ((rule("r", "allow"),), "allow", True),
        ((rule("r", "block"),), "allow", False),
        ((rule("r", "block", enabled=False),), "allow", True),
        ((rule("r", "block", targets=("crm",)),), "allow", True),
        ((rule("r", "approve", targets=("shop",)),), "allow", False),
        ((rule("r", "block", targets=("*",)),), "allow", False),
    ],
)
def test_a_target_is_observed_until_a_rule_can_stop_something(
    rules: tuple[PolicyRule, ...], default: str, observing: bool
) -> None:
    world = snapshot(rules=rules, default_action=default)
    assert is_observing(world, "shop") is observing
    assert bool(proposals(world, "shop")) is observing


def test_the_targets_own_default_counts() -> None:
    world = snapshot(targets=(target(default_action="block"),))
    assert not is_observing(world, "shop")


def test_three_rules_are_proposed_under_free_names_and_they_work() -> None:
    taken = rule("no-ddl-from-machines", "block", targets=("crm",))
    world = snapshot(rules=(taken,))
    found = proposals(world, "shop")
    assert [one.name for one in found] == [
        "no-ddl-from-machines-2",
        "bulk-writes-need-a-human",
        "agents-only-read",
    ]
    assert all(one.targets == ("shop",) for one in found)
    assert not is_observing(snapshot(rules=tuple(found)), "shop")
