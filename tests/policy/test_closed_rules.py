"""Rules with hours: outside of them they are as if they were not there; clocks that are put on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.entities import PolicyRule
from appliance.hours import closed_rules
from appliance.policy.engine import Policy
from appliance.policy.rules import Rulebook
from appliance.policy.subject import Subject
from appliance.policy.trial import imagine, try_statement
from appliance.policy.verdict import Action
from appliance.sql.catalog import Catalog
from appliance.sql.facts import Effect, Facts, Statement
from appliance.sql.parser import Parser
from tests.policy.test_engine_properties import ANY_EFFECT, DEFAULTS, RULES, SUBJECTS
from tests.policy.world import NOW, grant, identity, rule, snapshot

NIGHTS = "Sun 01:30-03:30 Europe/Oslo"


def is_closed(hours: str, now: datetime | None, action: str = "block") -> bool:
    return closed_rules(snapshot(rules=(rule("r", action, hours=hours),)), now) == {"r"}


def utc(day: int, month: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "closed"),
    [
        ("", NOW, False),
        ("Mon-Fri 08:00-18:00", NOW, False),
        ("Mon-Fri 08:00-12:00", NOW, True),
        ("Mon-Fri 08:00-12:00 Europe/Oslo", NOW - timedelta(minutes=61), False),
        ("Mon-Fri 08:00-12:00 Europe/Oslo", NOW - timedelta(minutes=60), True),
        # 2026-03-29 02:00 in Oslo does not exist: 01:59 is followed by 03:00 (01:00 UTC).
        (NIGHTS, utc(29, 3, 0, 29), True),
        (NIGHTS, utc(29, 3, 0, 30), False),
        (NIGHTS, utc(29, 3, 0, 59), False),
        (NIGHTS, utc(29, 3, 1, 0), False),
        (NIGHTS, utc(29, 3, 1, 29), False),
        (NIGHTS, utc(29, 3, 1, 30), True),
        # 2026-10-25 02:00 to 03:00 in Oslo comes twice: open all along, and closed but once.
        (NIGHTS, utc(24, 10, 23, 30), False),
        (NIGHTS, utc(25, 10, 0, 30), False),
        (NIGHTS, utc(25, 10, 1, 30), False),
        (NIGHTS, utc(25, 10, 2, 29), False),
        (NIGHTS, utc(25, 10, 2, 30), True),
    ],
)
def test_a_rule_is_closed_outside_of_its_hours(hours: str, now: datetime, closed: bool) -> None:
    assert is_closed(hours, now) is closed
    assert is_closed(hours, now, "allow") is closed


@pytest.mark.parametrize("hours", ["whenever", "Mon 25:00-26:00", "Mon 08:00-12:00 Mars/Phobos"])
def test_hours_that_cannot_be_read_never_open_what_allows_and_never_close_what_is_strict(
    hours: str,
) -> None:
    assert is_closed(hours, NOW, "allow")
    assert not is_closed(hours, NOW, "block")
    assert not is_closed(hours, NOW, "approve")


def test_at_any_moment_is_at_the_strictest_one() -> None:
    assert is_closed("08:00-18:00", None, "allow")
    assert not is_closed("20:00-21:00", None, "block")


@given(
    st.lists(RULES, max_size=5).map(tuple),
    st.sets(st.sampled_from(["a", "b", "c", "d"])).map(frozenset),
    DEFAULTS,
    SUBJECTS,
    ANY_EFFECT,
)
def test_closed_rules_are_as_if_they_were_not_there(
    rules: tuple[PolicyRule, ...],
    closed: frozenset[str],
    default: str,
    who: Subject,
    effect: Effect,
) -> None:
    facts = Facts((Statement("SelectStmt", (effect,), "0", 0, 1),))
    world = snapshot(rules=rules, default_action=default)
    rest = tuple(one for one in rules if one.name not in closed)
    without = snapshot(rules=rest, default_action=default)
    found = Policy(world, who, Rulebook(world, closed)).decide(facts)
    assert found == Policy(without, who).decide(facts)


def test_a_trial_is_of_one_moment() -> None:
    night = rule("nights", "block", hours="20:00-06:00", commands=("select",))
    many = rule("many", "approve", commands=("select",), rows_over=100)
    world = snapshot((identity(),), (grant(),), (night, many))
    session = imagine(world, "ana@example.com", "shop")
    catalog = Catalog.from_json(b'{"version": 180000, "schemas": ["public"]}')

    def tried(now: datetime | None, rows: int | None = 0) -> tuple[str, list[tuple[int, Action]]]:
        trial = try_statement(world, session, "SELECT 1", catalog, Parser(), now=now, rows=rows)
        return trial.verdict.rule, [(over, verdict.action) for over, verdict in trial.many]

    assert tried(NOW) == ("default", [(100, Action.HOLD)])
    assert tried(NOW, 100) == ("default", [(100, Action.HOLD)])
    assert tried(NOW, 101) == tried(NOW, None) == ("many", [])
    assert tried(NOW.replace(hour=21)) == ("nights", [])
    assert tried(None) == ("nights", [])
