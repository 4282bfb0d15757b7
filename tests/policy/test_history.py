"""A dry run judges as the gateway would, and leaves out only what cannot change."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from appliance.entities import IdentityKind, PolicyRule, ProfileMode, Snapshot
from appliance.policy.history import Difference, Judge, Recorded, Unjudged, search_path
from appliance.policy.proposal import Proposal, changed_rules, with_profile, with_rules
from appliance.policy.recollection import as_recorded
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Effect, EffectClass, Name, Statement
from appliance.sql.parser import Parser
from tests.policy.world import NOW, grant, identity, rule, snapshot

CATALOG = Catalog(b'{"version": 180000, "schemas": ["public", "app_ro"]}')
TEXTS = (
    "create table t (n int)",
    "select 1",
    "begin",
    "set work_mem = '1MB'",
    "show work_mem",
    "create schema s",
    "grant app_ro to ana",
    "listen news",
    "do $$ begin end $$",
    "not sql at all",
)
WHO = (
    identity(),
    identity("ci-nightly", kind=IdentityKind.CI),
    identity("bot-7", kind=IdentityKind.BOT),
)
RULES = (
    rule("ddl", "block", commands=("ddl",)),
    rule("machines", "approve", who=("kind:ci", "kind:bot")),
    rule("select", "allow", commands=("select",), who=("identity:bot-7",)),
    rule("psql", "block", application_names=("psql",), commands=("session", "listen")),
    rule("inside", "allow", sources=("10.0.0.0/8",)),
    rule("nights", "block", hours="00:00-06:00"),
    rule("role", "approve", roles=("app_rw",), commands=("dcl", "ddl")),
    rule("off", "block", enabled=False),
)


def world() -> Snapshot:
    return snapshot(WHO, (grant("*", "app_ro"), grant("*", "app_rw")))


def recorded(text: str = "select 1", **changes: object) -> Recorded:
    made = Recorded(
        text=text, fingerprint="00000000000000aa", identity="ci-nightly", target="shop",
        database="shop", role="app_ro", count=1, last_at=NOW, session_id="s", seq=1,
        application_name="psql", source="10.1.2.3",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def judge(present: Snapshot, proposed: Snapshot) -> Judge:
    return Judge(Proposal(present, proposed), {("shop", "shop"): CATALOG}, Parser())


def test_what_a_proposal_does_not_concern_is_never_decided_otherwise() -> None:
    chance = random.Random(7)  # noqa: S311 - a test's choices
    left_out = changed = 0
    for _ in range(150):
        before = tuple(chance.sample(RULES, chance.randrange(5)))
        after = list(before)
        for _ in range(chance.randrange(1, 3)):
            spare = [one for one in RULES if one not in after]
            match chance.randrange(4):
                case 0 if spare:
                    after.insert(chance.randrange(len(after) + 1), chance.choice(spare))
                case 1 if after:
                    after.pop(chance.randrange(len(after)))
                case 2:
                    chance.shuffle(after)
                case _ if after:
                    place = chance.randrange(len(after))
                    after[place] = replace(after[place], enabled=not after[place].enabled)
        one = recorded(
            chance.choice(TEXTS),
            identity=chance.choice(WHO).name,
            role=chance.choice(("app_ro", "app_rw")),
            application_name=chance.choice(("psql", "ci")),
            source=chance.choice(("10.1.2.3", "192.0.2.1")),
            last_at=NOW.replace(hour=chance.choice((3, 12))),
        )
        made = judge(with_rules(world(), before), with_rules(world(), after))
        found = made.judge(one)
        is_same = isinstance(found, tuple) and found[0] == found[1]
        if not made.concerns(one):
            left_out += 1
            assert is_same, (one.text, before, after)
        changed += not is_same
    assert left_out > 20 and changed > 20


def test_a_profile_asks_for_the_fingerprint_that_was_recorded() -> None:
    present = world()
    proposed = with_profile(present, "ci-nightly", ProfileMode.ENFORCE, {"00000000000000aa"})
    made = judge(present, proposed)
    assert made.judge(recorded()) == ("allow", "allow")
    other = made.judge(recorded(fingerprint="00000000000000bb"))
    assert isinstance(other, Difference)
    assert (other.now.action, other.then.action, other.then.rule) == ("allow", "block", "profile")
    assert made.judge(recorded("begin", fingerprint="cc")) == ("allow", "allow")
    assert not made.concerns(recorded(identity="bot-7", fingerprint="bb"))
    assert proposed.identities["bot-7"].profile is ProfileMode.OFF


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"identity": "gone"}, "there is no identity gone any more"),
        ({"target": "gone"}, "there is no target gone any more"),
        ({"is_whole": False}, "the store keeps only the beginning of such a long text"),
    ],
)
def test_what_cannot_be_judged_says_why(change: dict[str, object], why: str) -> None:
    made = judge(world(), with_rules(world(), (rule("all", "block"),)))
    one = replace(recorded(), **change)  # type: ignore[arg-type]
    found = made.judge(one)
    assert isinstance(found, Unjudged) and found.why == why
    assert made.concerns(one)


def test_changed_rules_are_those_between_what_is_alike() -> None:
    a, b, c, d = (PolicyRule(name, "block") for name in "abcd")
    assert changed_rules((a, b, c), (a, b, c)) == ()
    assert changed_rules((a, c), (a, b, c)) == (b,)
    assert changed_rules((a, b, c), (a, c)) == (b,)
    assert changed_rules((a, b, c, d), (a, c, b, d)) == (b, c, c, b)
    assert changed_rules((), (a,)) == changed_rules((a,), ()) == (a,)
    assert changed_rules((a, a), (a,)) == (a,)


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("", ("pg_catalog", "app_ro", "public")),
        ("Sales, public", ("pg_catalog", "sales", "public")),
        ('"Sales ""1""", pg_catalog', ("pg_catalog", 'Sales "1"')),
        ('"$user"', ("pg_catalog", "app_ro")),
    ],
)
def test_a_search_path_setting_comes_to_schemas(setting: str, path: tuple[str, ...]) -> None:
    assert search_path(setting, "app_ro", CATALOG) == path


UNKNOWN = Effect(EffectClass.UNKNOWN, Name(None, "gone"))


def statement(*effects: Effect) -> Statement:
    return Statement("SelectStmt", (*effects, UNKNOWN), "aa", 0, 9, unknown="gone is not known")


def test_a_dropped_table_is_what_the_record_says_it_was() -> None:
    select = Effect(EffectClass.SELECT, Name(None, "gone"), columns=("a",))
    seen = as_recorded(statement(select), [("select", "sales.gone"), ("select", "sales.f()")])
    assert seen.unknown == ""
    assert seen.effects == (
        replace(select, relation=Name("sales", "gone")),
        Effect(EffectClass.SELECT, function=Name("sales", "f")),
    )


@pytest.mark.parametrize(
    "effects",
    [
        [],
        [("unknown", "gone")],
        [("select", "sales.other")],
        [("insert", "sales.gone")],
        [("select", "sales.gone"), ("delete", "sales.other")],  # with a WHERE? nobody knows
        [("select", "sales.gone"), ("teleport", "x")],
    ],
)
def test_where_the_record_does_not_know_either_it_stays_unknown(
    effects: list[tuple[str, str]],
) -> None:
    before = statement(Effect(EffectClass.SELECT, Name(None, "gone")))
    assert as_recorded(before, effects) is before
