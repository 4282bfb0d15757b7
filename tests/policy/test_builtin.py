"""The built-in rules: first, on for everybody, off only by a grant that says so."""

from __future__ import annotations

import pytest

from appliance.policy.builtin import BUILTIN_RULES
from appliance.policy.engine import Policy
from appliance.policy.subject import Subject
from appliance.policy.verdict import Action, Verdict
from appliance.sql.facts import Effect, EffectClass, Facts, SettingChange, Statement
from tests.policy.world import grant, rule, snapshot, subject

SWITCHABLE = [one for one in BUILTIN_RULES if one.switchable]
FLAGS = sorted((flag, one.name) for one in SWITCHABLE for flag in one.flags if flag != "set_role")


def decide(facts: Facts, who: Subject | None = None) -> Verdict:
    world = snapshot(rules=(rule("everything", "allow"),))
    return Policy(world, who or subject()).decide(facts)


def flagged(*flags: str, cls: str = "ddl", **more: object) -> Facts:
    details = more.pop("details", ())
    made = Statement(
        kind=str(more.pop("kind", "AlterRoleStmt")),
        effects=(Effect(EffectClass(cls)),),
        fingerprint="0",
        start=0,
        end=1,
        flags=frozenset(flags),
        flag_details=details,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )
    return Facts((made,))


@pytest.mark.parametrize(("flag", "name"), FLAGS)
def test_a_flag_is_blocked_before_any_rule_allows_it(flag: str, name: str) -> None:
    verdict = decide(flagged(flag))
    assert (verdict.action, verdict.rule) == (Action.BLOCK, f"builtin:{name}")
    assert verdict.hint == f"An admin can allow it on the grant: allow_builtin: [{name}]"


@pytest.mark.parametrize(("flag", "name"), FLAGS)
def test_a_grant_switches_one_off_and_leaves_the_others_on(flag: str, name: str) -> None:
    for spelling in (name, f"builtin:{name}"):
        who = subject(grant=grant(allow_builtin=frozenset({spelling})))
        assert decide(flagged(flag), who).action is Action.ALLOW
        for other, rule_name in FLAGS:
            if rule_name != name:
                assert decide(flagged(flag, other), who).action is Action.BLOCK


def test_a_program_is_known_by_its_effect_too() -> None:
    assert decide(flagged(cls="copy_program")).rule == "builtin:programs"


@pytest.mark.parametrize(
    ("role", "action"),
    [
        ("app_ro", Action.ALLOW),
        ("app_rw", Action.ALLOW),
        ("none", Action.ALLOW),
        ("default", Action.ALLOW),
        ("postgres", Action.BLOCK),
        ("APP_RO", Action.BLOCK),
        ("*", Action.BLOCK),
        ("", Action.BLOCK),
    ],
)
def test_set_role_stays_within_the_granted_roles(role: str, action: Action) -> None:
    verdict = decide(flagged("set_role", cls="role", details=(("set_role", role),)))
    assert verdict.action is action
    if action is Action.BLOCK:
        assert verdict.rule == "builtin:set-role"


def test_the_login_role_is_always_granted_and_no_other_grant_counts() -> None:
    alone = subject(role="app_ro", granted_roles=frozenset())
    ro = flagged("set_role", cls="role", details=(("set_role", "app_ro"),))
    rw = flagged("set_role", cls="role", details=(("set_role", "app_rw"),))
    assert decide(ro, alone).action is Action.ALLOW
    assert decide(rw, alone).action is Action.BLOCK


def test_one_role_beyond_is_enough() -> None:
    details = (("set_role", "app_ro"), ("set_role", "postgres"))
    assert decide(flagged("set_role", details=details)).action is Action.BLOCK


def test_a_role_set_as_a_setting_is_seen_without_a_flag() -> None:
    def setting(name: str, value: str | None, kind: str) -> Facts:
        return flagged(cls="session", kind=kind, settings=(SettingChange(name, value),))

    for name in ("role", "session_authorization"):
        assert decide(setting(name, "postgres", "VariableSetStmt")).action is Action.BLOCK
        assert decide(setting(name, "app_ro", "VariableSetStmt")).action is Action.ALLOW
        assert decide(setting(name, None, "VariableSetStmt")).action is Action.ALLOW  # RESET
        assert decide(setting(name, None, "SelectStmt")).action is Action.BLOCK  # set_config


def test_every_built_in_rule_is_explained() -> None:
    names = [one.name for one in BUILTIN_RULES]
    assert len(set(names)) == len(names)
    for one in BUILTIN_RULES:
        assert one.title and one.explanation.endswith(".")
        assert one.flags or not one.switchable


def test_text_that_cannot_be_read_is_never_switched_off() -> None:
    everything = frozenset(one.name for one in BUILTIN_RULES)
    who = subject(grant=grant(allow_builtin=everything))
    assert decide(Facts((), refusal="NUL in the text"), who).action is Action.BLOCK
